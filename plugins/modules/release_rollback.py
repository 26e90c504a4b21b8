#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: release_rollback
short_description: Make the server serve the release before this one
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Asks C(ovms-node rollback) to serve what the host served before, and lets the gate decide.
options:
  leave:
    description:
      - The release to go back from. A host that serves another one stays as it is.
    type: str
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - With O(leave). Without it two calls lead back to where the first one began.
"""

EXAMPLES = r"""
- name: Go back
  ovms.edge.release_rollback:
  become: true

- name: Go back from what was withdrawn, where it serves
  ovms.edge.release_rollback:
    leave: qwen2.5-vl-7b-instruct-int8@1.1.0
  become: true
"""

RETURN = r"""
gate:
  description: What the running service answered. See M(ovms.edge.node_verify).
  returned: when the gate was asked
  type: dict
  sample: {ok: true, state: AVAILABLE}

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
