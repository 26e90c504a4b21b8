#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_files
short_description: Write the files of the gateway before OVMS
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Writes what role C(ovms_gateway) wants on a host, as M(ovms.edge.host_files) does. What that is follows
    from the role's inputs, which are read from the variables and checked again.
  - The configuration, and a certificate with its key, are tried before the old ones are replaced.
options:
  secret:
    description:
      - Whether to write what only some may read, the digests of keys and a given certificate's key; or all
        else.
      - Secrets first, since the configuration is tried together with what it names. Their content is not in
        the result.
    type: bool
    required: true
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Write the configuration, the unit and what ovms-node has to know
  ovms.edge.gateway_files:
    secret: false
  become: true
"""

RETURN = r"""
paths:
  description: What was changed, or would be.
  returned: always
  type: list
  elements: str
  sample: [/etc/ovms-edge/gateway/haproxy.cfg]
"""
