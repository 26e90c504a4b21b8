# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.ovms.edge.plugins.plugin_utils._gpu_plan import gpu_plan

DOCUMENTATION = r"""
name: gpu_plan
short_description: What a host lacks for its Intel GPU
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Decides by PCI id, kernel, firmware and distribution what has to be installed, and whether to reboot.
  - Role M(ovms.edge.intel_gpu) uses it with its catalogue; it changes nothing.
positional: settings, catalogue
options:
  _input:
    description: The fact C(ovms_node) of M(ovms.edge.node_facts).
    type: dict
    required: true
  settings:
    description: The inputs of the role, without its prefix.
    type: dict
    required: true
  catalogue:
    description: Packages by distribution, as in the role's C(vars/main.yml).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what is lacking
  ansible.builtin.debug:
    msg: "{{ (ansible_facts['ovms_node'] | ovms.edge.gpu_plan(settings, catalogue))['lines'] }}"
"""

RETURN = r"""
_value:
  description: What is due, in words and as packages and files; why it cannot be done; what is lacking now.
  type: dict
"""


class FilterModule:
    """See the documentation above."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the one filter."""
        return {"gpu_plan": gpu_plan}
