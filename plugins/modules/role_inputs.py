#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: role_inputs
short_description: Refuse inputs of this collection's roles that cannot work
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Reads the variables that are inputs of the roles, and fails with a line for each thing wrong with them. A
    line says what, the value found, and what to do. The values of secrets are not shown.
  - What may be set, and must, and its type is what C(meta/argument_specs.yml) of the role says. So a play
    that has this done needs no validation by Ansible beside it (C(rolespec_validate) of C(import_role)).
  - Nothing is asked of the host. A role's defaults need not be loaded.
options:
  roles:
    description: Names of roles of this collection.
    type: list
    elements: str
    required: true
extends_documentation_fragment: [ovms.edge.action]
attributes:
  action:
    details:
      - It needs no connection.
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - It changes nothing.
"""

EXAMPLES = r"""
- name: Refuse inputs that cannot work
  ovms.edge.role_inputs:
    roles: [docker_engine, node_agent]
"""

RETURN = r"""
"""
