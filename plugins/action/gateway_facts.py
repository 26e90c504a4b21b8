# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.ovms.edge.plugins.plugin_utils import _gateway_facts_program


def parse_answer(stdout: str, stderr: str) -> dict[str, Any]:
    """Return the document that the program printed as Ansible's result; a failed one if it printed none."""
    try:
        document = json.loads(stdout)
        if not isinstance(document, dict):
            raise ValueError("not a document")
    except ValueError:
        said = (stderr or stdout).strip() or "nothing"
        return {"failed": True, "msg": f"python3 on the host failed: {said}; install Debian's python3 there"}
    return {"changed": False, **document}


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
        program = Path(_gateway_facts_program.__file__).read_text()
        request = json.dumps(json.dumps(args))
        done = self._low_level_execute_command(
            "python3 -", in_data=f"{program}\nprint(json.dumps(facts(**json.loads({request}))))\n"
        )
        result.update(parse_answer(done["stdout"], done["stderr"]))
        if args["wait_seconds"] and not result.get("failed") and not result["current"]:
            result.update(failed=True, msg=not_current(result))
        known = task_vars or {}
        result["address"] = str(known.get("ansible_host") or known.get("inventory_hostname") or "")
        return result
