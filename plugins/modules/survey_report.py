#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: survey_report
short_description: What a release would cost each store, and which cannot take it
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Writes the survey that C(ovms-edge rollout plan --survey) reads, of what earlier tasks registered.
  - Runs once for all hosts. Hosts that refuse or were not reached are part of the survey, and no failure.
options:
  release:
    description: The release that the hosts were asked about.
    type: str
    required: true
  facts:
    description: Name of the variable in which each host registered the result of M(ovms.edge.node_facts).
    type: str
    required: true
  staged:
    description: Name of the variable in which each host registered what M(ovms.edge.release) planned.
    type: str
    required: true
  refusal:
    description:
      - Name of the variable that says what failed on a host.
      - A dict of C(msg), C(reason), C(remedy), C(busy) and C(slow), which means that it timed out.
      - A host that was busy or slow is not known to be unsuitable.
    type: str
    required: true
  path:
    description: The survey, a file on the controller.
    type: path
    required: true
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: partial
    details:
      - The summary is shown, and no survey is written.
  diff_mode:
    support: none
    details:
      - It changes nothing on a host.
"""

EXAMPLES = r"""
- name: Write the survey
  ovms.edge.survey_report:
    release: qwen2.5-vl-7b-instruct-int8@1.1.0
    facts: __survey_facts
    staged: __survey_staged
    refusal: __survey_refusal
    path: build/survey.json
"""

RETURN = r"""
unsuitable:
  description: The hosts that cannot take the release, sorted.
  returned: always
  type: list
  elements: str
  sample: [store-007]
"""
