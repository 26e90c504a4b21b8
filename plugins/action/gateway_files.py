# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.ovms.edge.plugins.plugin_utils._file_changes import as_result, files_call
from ansible_collections.ovms.edge.plugins.plugin_utils._gateway_plan import ROLE, Gateway
from ansible_collections.ovms.edge.plugins.plugin_utils._host_program import NoAnswerError, ask_host
from ansible_collections.ovms.edge.plugins.plugin_utils._role_inputs import BadInputsError, inputs_of


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/gateway_files.py."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(argument_spec={"secret": {"type": "bool", "required": True}})
        try:
            gateway = Gateway.of(inputs_of(ROLE, task_vars or {}, self._templar.template))
            files = gateway.secret_files() if args["secret"] else gateway.files()
            (answer,) = ask_host(self, files_call(files, bool(self._task.check_mode)))
        except (BadInputsError, NoAnswerError) as error:
            return {**result, "failed": True, "msg": str(error)}
        return {**result, **as_result(answer)}
