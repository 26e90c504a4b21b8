#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: release_stage
short_description: Bring a release onto a store host and verify it
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Asks C(ovms-node stage) to fetch a release from the depot and to verify its signature and every file.
  - The release is on the host complete and verified, or not at all. Nothing that serves is touched.
options:
  release:
    description: The release, C(name@version).
    type: str
    required: true
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: full
    details:
      - On a host without C(ovms-node) it only says that the release would be staged.
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Stage the release
  ovms.edge.release_stage:
    release: qwen2.5-vl-7b-instruct-int8@1.0.0
  become: true
"""

RETURN = r"""
ok:
  description: Whether the release is on the host now, or would be.
  returned: when ovms-node answered
  type: bool
  sample: true

reason:
  description: Cause and object of a refusal or failure.
  returned: failure
  type: str
  sample: "no space on /var/lib/ovms-edge: 9.1 GiB needed, 3.2 GiB free"
remedy:
  description: What to do about it.
  returned: failure
  type: str
  sample: free space on /var/lib/ovms-edge
"""
