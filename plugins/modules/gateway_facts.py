#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_facts
short_description: What a host has of the gateway before OVMS, and what of it has to change
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Looks for HAProxy, the gateway's unit, its certificate and its answer, and compares its files with what
    role C(ovms_gateway) wants, all in one call. What that is follows from the role's inputs, which are read
    from the variables and checked again.
  - Fails where the gateway cannot run, for each reason with what to do, such as routes that its subnet
    overlaps or another process where it is to listen.
options:
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
os:
  description: The C(id) and C(name) of its operating system.
  returned: success
  type: dict
  sample: {id: debian, name: Debian GNU/Linux 12 (bookworm)}
overlaps:
  description: Routes of the host, but the gateway's own, that the subnet overlaps.
  returned: success
  type: list
  elements: str
  sample: [172.31.0.0/16 dev tun0]
taken:
  description: Of the places where the gateway is to listen those where another process does, and which.
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
runs:
  description: Whether it does so, and will after a boot.
  returned: success
  type: bool
due:
  description: Whether anything has to be done for the host to have what the role wants.
  returned: success
  type: bool
lacking:
  description: Packages that have to be installed.
  returned: success
  type: list
  elements: str
  sample: [haproxy]
generate:
  description: Names, and openssl's configuration, of the certificate to generate; null if there is none to.
  returned: success
  type: dict
  sample: {names: "DNS:store-001,IP:192.0.2.11", config: "[req]..."}
secret_paths:
  description: Files to be changed that only some may read.
  returned: success
  type: list
  elements: str
  sample: [/etc/ovms-edge/gateway/keys]
paths:
  description: Other files to be changed.
  returned: success
  type: list
  elements: str
  sample: [/etc/ovms-edge/gateway/haproxy.cfg]
"""
