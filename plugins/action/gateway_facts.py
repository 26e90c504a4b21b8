# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.ovms.edge.plugins.plugin_utils import _gateway_facts_program
from ansible_collections.ovms.edge.plugins.plugin_utils._file_changes import files_call
from ansible_collections.ovms.edge.plugins.plugin_utils._gateway_plan import (
    ROLE,
    Gateway,
    generation,
    is_run,
    lacking,
    obstacles,
)
from ansible_collections.ovms.edge.plugins.plugin_utils._host_program import Call, NoAnswerError, ask_host
from ansible_collections.ovms.edge.plugins.plugin_utils._role_inputs import BadInputsError, inputs_of


def not_current(document: dict[str, Any]) -> str:
    """Return why a gateway that should run by its new configuration does not, and what to do."""
    answer = document["answer"]
    found = answer.get("error") or f"it answers {answer['status']} by the one before"
    return (
        f"the gateway does not run by its new configuration: {found}; "
        "see journalctl -u ovms-edge-gateway on the host"
    )


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/gateway_facts.py."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(argument_spec={"wait_seconds": {"type": "int", "default": 0}})
        known = task_vars or {}
        try:
            gateway = Gateway.of(inputs_of(ROLE, known, self._templar.template))
            return {**result, "changed": False, **self._look(gateway, args["wait_seconds"], address(known))}
        except BadInputsError as error:
            return {**result, "failed": True, "msg": str(error)}
        except NoAnswerError as error:
            return {**result, "failed": True, "msg": f"{error}; install Debian's python3 there"}

    def _look(self, gateway: Gateway, wait_seconds: int, address: str) -> dict[str, Any]:
        wanted = {"subnet": gateway.subnet, "url": gateway.url, "binds": gateway.binds}
        found, *files = ask_host(
            self,
            Call(_gateway_facts_program, "facts", {**wanted, "wait_seconds": wait_seconds}),
            *(files_call(entries, check=True) for entries in (gateway.secret_files(), gateway.files())),
        )
        if wait_seconds and not found["current"]:
            return {**found, "failed": True, "msg": not_current(found)}
        for problems in (obstacles(gateway, found), [answer["msg"] for answer in files if not answer["ok"]]):
            if problems:
                return {"failed": True, "msg": "\n".join(problems)}
        packages, certificate = lacking(gateway, found), generation(gateway, found, address)
        secret_paths, paths = ([change["path"] for change in answer["changes"]] for answer in files)
        return {
            **found,
            "lacking": packages,
            "generate": certificate,
            "secret_paths": secret_paths,
            "paths": paths,
            "runs": is_run(found),
            "due": bool(packages or certificate or secret_paths or paths or not is_run(found)),
        }


def address(known: dict[str, Any]) -> str:
    """Return how the controller calls the host."""
    return str(known.get("ansible_host") or known.get("inventory_hostname") or "")
