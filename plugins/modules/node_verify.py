#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: node_verify
short_description: The gate, that a store really serves
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Asks C(ovms-node verify), which asks the running service, with an image, and judges the answer.
  - Changes nothing. A store that does not pass makes the task fail.
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: partial
    details:
      - It asks and answers as ever, but a store that does not pass is no failure then.
  diff_mode:
    support: none
    details:
      - It changes nothing.
"""

EXAMPLES = r"""
- name: Ask the running service
  ovms.edge.node_verify:
  become: true
"""

RETURN = r"""
ok:
  description: Whether the store serves.
  returned: always
  type: bool
  sample: true
release:
  description: The release that serves.
  returned: when there is one
  type: str
  sample: qwen2.5-vl-7b-instruct-int8@1.0.0
state:
  description: What OVMS says of the servable.
  returned: when OVMS answers
  type: str
  sample: AVAILABLE
first_token_seconds:
  description: Seconds until the first token of the answer.
  returned: when OVMS answers
  type: float
  sample: 0.8
total_seconds:
  description: Seconds until the whole answer.
  returned: when OVMS answers
  type: float
  sample: 2.1
restarts:
  description: How often Docker Engine has restarted the server.
  returned: when there is a server
  type: int
  sample: 0
checks:
  description: Each check of the gate.
  returned: when the gate was asked
  type: list
  elements: dict
  sample: [{id: state, ok: true, detail: AVAILABLE}]

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
