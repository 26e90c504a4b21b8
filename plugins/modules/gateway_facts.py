#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_facts
short_description: What a host has of the gateway before OVMS
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Looks for HAProxy, the gateway's unit, its certificate and its answer, and for routes that its subnet
    would overlap, all in one call. Role C(ovms_gateway) decides by it what there is to do.
options:
  subnet:
    description: The subnet of the network that OVMS is to be on.
    type: str
    required: true
  url:
    description: How the host itself reaches the gateway. Its certificate is not verified.
    type: str
    required: true
  binds:
    description: Where the gateway is to listen, each as ADDRESS:PORT.
    type: list
    elements: str
    default: []
  wait_seconds:
    description:
      - Wait so long at most until the gateway runs by the configuration that is on the disk.
      - Fail if it does not.
    type: int
    default: 0
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
- name: Wait until the gateway has taken up its configuration
  ovms.edge.gateway_facts:
    subnet: 172.31.253.0/29
    url: http://127.0.0.1:8002
    wait_seconds: 15
"""

RETURN = r"""
haproxy:
  description: The version of the host's HAProxy, null if there is none.
  returned: success
  type: str
  sample: 2.6.12
openssl:
  description: Whether the host has C(openssl).
  returned: success
  type: bool
hostname:
  description: How the host calls itself.
  returned: success
  type: str
  sample: store-001
address:
  description: How the controller calls it.
  returned: success
  type: str
  sample: 192.0.2.11
overlaps:
  description: Routes of the host, but the gateway's own, that the subnet overlaps.
  returned: success
  type: list
  elements: str
  sample: [172.31.0.0/16 dev tun0]
taken:
  description: Of C(binds) those where another process listens, and which.
  returned: success
  type: list
  elements: str
  sample: ["0.0.0.0:8002 (python3, pid 711)"]
certificate:
  description:
    - The names that it was generated for, null for one that was given.
    - Whether less than 30 days are left, or there is none.
  returned: success
  type: dict
  sample: {generated_for: "DNS:store-001,IP:192.0.2.11", due: false}
unit:
  description: Whether the gateway's unit is active, and enabled.
  returned: success
  type: dict
  sample: {active: true, enabled: true}
answer:
  description: Status and body of its C(/health), or why there is none.
  returned: success
  type: dict
  sample: {status: 200, body: a, config: 5f2b6c1d0e9a4b37}
current:
  description: Whether it runs with the configuration that is on the disk.
  returned: success
  type: bool
"""
