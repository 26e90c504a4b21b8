#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: doctor_report
short_description: What the doctor found on the fleet, as a table and as JSON
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Shows each finding of M(ovms.edge.node_doctor) with its remedy.
  - Writes all answers into a file if told to.
  - Runs once for all hosts. What was found is part of the report, and no failure of this task.
options:
  results:
    description: Name of the variable in which each host registered the result of M(ovms.edge.node_doctor).
    type: str
    required: true
  path:
    description: The report, a file on the controller. Without it none is written.
    type: path
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
  ovms.edge.doctor_report:
    results: __doctor
    path: build/doctor.json
"""

RETURN = r"""
failing:
  description: The hosts with a finding of severity error, and those that could not be asked, sorted.
  returned: always
  type: list
  elements: str
  sample: [store-007]
"""
