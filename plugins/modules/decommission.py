#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: decommission
short_description: Remove from a host what this collection installed, and nothing else
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Removes containers, networks, images, units, files and packages that this collection brought, and gives
    files that were there before what they held.
  - What was there before is on record on the host, in C(/etc/ovms-edge/record). What a host had that was set
    up before there was a record is not known; it is left and named.
  - Runs the controller's copy of C(ovms-node). Cut off, the next run goes on.
options:
  keep_releases:
    description: Leave the releases of models in the state directory.
    type: bool
    default: false
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Remove what we installed
  ovms.edge.decommission:
    keep_releases: true
  become: true
"""

RETURN = r"""
removed:
  description: What went, or would; each with C(what), C(name) and C(how).
  returned: success
  type: list
  elements: dict
left:
  description: What stays, each with C(what), C(name) and C(why).
  returned: success
  type: list
  elements: dict
summary:
  description: Both as lines of text.
  returned: success
  type: list
  elements: str
"""
