# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.ovms.edge.plugins.plugin_utils._engine_plan import ROLE, obstacles, plan_of
from ansible_collections.ovms.edge.plugins.plugin_utils._openpgp import armored_key
from ansible_collections.ovms.edge.plugins.plugin_utils._role_inputs import BadInputsError, inputs_of


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/engine_plan.py."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        known = task_vars or {}
        try:
            named = inputs_of(ROLE, known, self._templar.template)
        except BadInputsError as error:
            return {**result, "failed": True, "msg": str(error)}
        inputs = {name.removeprefix(f"{ROLE}_"): value for name, value in named.items()}
        facts = known["ansible_facts"]["ovms_node"]
        if problems := obstacles(inputs, facts):
            return {**result, "failed": True, "msg": "\n".join(problems)}
        plan = plan_of(inputs, facts)
        key = armored_key(inputs["repository_key"]) if plan.repository else None
        return {**result, "changed": False, "warnings": plan.notes, **asdict(plan), "key": key}
