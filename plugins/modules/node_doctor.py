#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: node_doctor
short_description: What is wrong with a store, and how to mend it
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Asks C(ovms-node doctor), which reads only. What it finds is in the result, and no failure of the task.
  - A host that has no C(ovms-node), or one without this command, is asked with the controller's copy of it,
    which leaves nothing behind.
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - It changes nothing.
"""

EXAMPLES = r"""
- name: Look for what is wrong
  ovms.edge.node_doctor:
  become: true
  register: __doctor
"""

RETURN = r"""
doctor:
  description: The document of C(ovms-node doctor --json), see docs/doctor.md.
  returned: when the host was asked
  type: dict
  sample:
    ok: false
    findings:
      - id: container.running
        severity: error
        found: ovms-vlm-a is exited, exit code 0
        expected: running
        fix: systemctl start ovms-edge-tend.service
"""
