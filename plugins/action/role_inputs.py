# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.ovms.edge.plugins.plugin_utils._role_inputs import BadInputsError, inputs_of


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/role_inputs.py."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            argument_spec={"roles": {"type": "list", "elements": "str", "required": True}}
        )
        problems = []
        for role in args["roles"]:
            try:
                inputs_of(role, task_vars or {}, self._templar.template)
            except BadInputsError as error:
                problems.append(str(error))
        if problems:
            return {**result, "failed": True, "msg": "\n".join(problems)}
        return {**result, "changed": False}
