#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: baseline
short_description: Bring the ground of a store host to its wanted state
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Does what role C(host_baseline) wants of a host. What that is follows from the inputs of the role and of
    C(ovms_gateway), which are read from the variables and checked again.
  - Needs the facts of M(ovms.edge.node_facts).
options:
  phase:
    description:
      - C(look) says what is due and changes nothing. It fails where firewall or sshd are to change and
        the connection in use would not work any more.
      - C(write) writes all but firewall and sshd, and tells the services that read it.
      - C(access) puts firewall and sshd into force with a timer that takes them back, connects anew, and
        only then writes them. A boot in between takes them back too.
    type: str
    choices: [look, write, access]
    required: true
extends_documentation_fragment: [ovms.edge.action]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Look at the host
  ovms.edge.baseline:
    phase: look
  register: host
  become: true

- name: Write settings
  ovms.edge.baseline:
    phase: write
  when: host['due']
  become: true
"""

RETURN = r"""
due:
  description: Whether anything has to change.
  returned: when the phase is C(look)
  type: bool
lacking:
  description: Packages that are not installed.
  returned: when the phase is C(look)
  type: list
  elements: str
  sample: [unattended-upgrades]
access_paths:
  description: What of firewall and sshd has to change.
  returned: when the phase is C(look)
  type: list
  elements: str
  sample: [/etc/ssh/sshd_config.d/01-ovms-edge.conf]
paths:
  description: What was changed, or would be; units by their names.
  returned: always
  type: list
  elements: str
  sample: [/etc/systemd/journald.conf.d/ovms-edge.conf]
"""
