#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_report
short_description: The fleet's table and its JSON report
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Shows one line for each host of the play, as M(ovms.edge.node_verify) found it, and writes a report.
  - Runs once for all hosts. Hosts that do not serve are part of the report, and no failure of this task.
options:
  results:
    description: Name of the variable in which each host registered the result of M(ovms.edge.node_verify).
    type: str
    required: true
  path:
    description: The report, a file on the controller.
    type: path
    required: true
  planned:
    description:
      - Name of the variable that says which release each host is to serve.
      - A host that serves another one is named below the table; that is no failure.
    type: str
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: partial
    details:
      - The table is shown, and no report is written.
  diff_mode:
    support: none
    details:
      - It changes nothing on a host.
"""

EXAMPLES = r"""
- name: Report
  ovms.edge.fleet_report:
    results: __verify
    path: build/verify_fleet.json
    planned: ovms_server_release
"""

RETURN = r"""
failing:
  description: The hosts that do not serve, sorted.
  returned: always
  type: list
  elements: str
  sample: [store-007]
other:
  description: The hosts that serve another release than O(planned) has for them, sorted.
  returned: always
  type: list
  elements: str
  sample: [store-008]
"""
