# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.ovms.edge.plugins.plugin_utils import _gateway_facts_program
from ansible_collections.ovms.edge.plugins.plugin_utils._host_program import NoAnswerError, ask_host


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
        _, args = self.validate_argument_spec(
            argument_spec={
                "subnet": {"type": "str", "required": True},
                "url": {"type": "str", "required": True},
                "binds": {"type": "list", "elements": "str", "default": []},
                "wait_seconds": {"type": "int", "default": 0},
            }
        )
        try:
            result.update(changed=False, **ask_host(self, _gateway_facts_program, "facts", args))
        except NoAnswerError as error:
            return {**result, "failed": True, "msg": f"{error}; install Debian's python3 there"}
        if args["wait_seconds"] and not result["current"]:
            result.update(failed=True, msg=not_current(result))
        known = task_vars or {}
        result["address"] = str(known.get("ansible_host") or known.get("inventory_hostname") or "")
        return result
