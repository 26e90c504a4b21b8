# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.ovms.edge.plugins.plugin_utils import (
    _access_program,
    _baseline_program,
    _record_program,
)
from ansible_collections.ovms.edge.plugins.plugin_utils._access_plan import (
    FIREWALL_FILE,
    SSHD_FILE,
    access_entries,
    access_units,
    left_out,
    obstacles,
    openings,
)
from ansible_collections.ovms.edge.plugins.plugin_utils._baseline_plan import (
    ROLE,
    Baseline,
    baseline,
    host_facts,
)
from ansible_collections.ovms.edge.plugins.plugin_utils._file_changes import as_result, files_call
from ansible_collections.ovms.edge.plugins.plugin_utils._host_program import Call, NoAnswerError, ask_host
from ansible_collections.ovms.edge.plugins.plugin_utils._role_inputs import BadInputsError, inputs_of

_GATEWAY = "ovms_gateway"


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/baseline.py."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        spec = {"phase": {"type": "str", "required": True, "choices": ["look", "write", "access"]}}
        _, args = self.validate_argument_spec(argument_spec=spec)
        known = task_vars or {}
        try:
            self._read(known)
            phase = {"look": self._look, "write": self._write, "access": self._access}[args["phase"]]
            return {**result, **phase()}
        except (BadInputsError, NoAnswerError) as error:
            return {**result, "failed": True, "msg": str(error)}

    def _read(self, known: dict[str, Any]) -> None:
        template = self._templar.template
        prefixed = inputs_of(ROLE, known, template)
        self._inputs = {name.removeprefix(f"{ROLE}_"): value for name, value in prefixed.items()}
        self._gateway = inputs_of(_GATEWAY, known, template)
        node = known["ansible_facts"]["ovms_node"]
        facts = host_facts(self._gateway, node["disk"]["path"], self._inputs["facts"])
        self._plan: Baseline = baseline(self._inputs, node["os"]["id"], facts)
        self._entries = access_entries(self._inputs, self._gateway)
        self._units = access_units(self._inputs)
        self._with_password = bool(known.get("ansible_password") or known.get("ansible_ssh_pass"))

    @property
    def _check(self) -> bool:
        return bool(self._task.check_mode)

    def _look(self) -> dict[str, Any]:
        wanted = {"packages": self._plan.packages, "firewall": self._inputs["firewall"]}
        found, files, *access = ask_host(
            self,
            Call(_baseline_program, "look", wanted, needs=(_record_program,)),
            files_call(self._plan.entries, check=True, units=self._plan.units),
            *([files_call(self._entries, check=True, units=self._units)] if self._entries else []),
        )
        for answer in (files, *access):
            if not answer["ok"]:
                return {"failed": True, "msg": answer["msg"]}
        changes = [change["path"] for answer in access for change in answer["changes"]]
        if self._inputs["firewall"] and not found["table"]:
            changes.append("table inet ovms_edge")
        refused = self._refused() if changes else {}
        return {
            **found,
            "changed": False,
            "paths": [change["path"] for change in files["changes"]],
            "access_paths": changes,
            "due": bool(found["lacking"] or found["pending"] or files["changes"] or changes),
            **refused,
        }

    def _refused(self) -> dict[str, Any]:
        (found,) = ask_host(self, Call(_access_program, "look", {}))
        if problems := obstacles(self._inputs, found, self._with_password):
            return {"failed": True, "msg": "\n".join(problems)}
        closed = left_out(openings(self._inputs, self._gateway), found["listening"])
        if not self._inputs["firewall"] or not closed:
            return {}
        ports = ", ".join(map(str, closed))
        return {
            "warnings": [
                f"the host listens on TCP {ports}, where nobody will be let in; open what is needed with "
                "host_baseline_firewall_open"
            ]
        }

    def _write(self) -> dict[str, Any]:
        if self._check:
            return as_result(ask_host(self, self._files(check=True))[0])
        (looked,) = ask_host(self, self._files(check=True))
        told = [
            self._plan.told[change["path"]]
            for change in looked["changes"]
            if change["path"] in self._plan.told
        ]
        _, answer, done = ask_host(
            self,
            Call(_baseline_program, "remember", {"names": told}, needs=(_record_program,)),
            self._files(check=False),
            Call(_baseline_program, "tell", {}, needs=(_record_program,)),
        )
        result = as_result(answer)
        return (
            result if done["ok"] or result.get("failed") else {**result, "failed": True, "msg": done["msg"]}
        )

    def _files(self, check: bool) -> Call:
        return files_call(self._plan.entries, check, units=self._plan.units)

    def _access(self) -> dict[str, Any]:
        (looked,) = ask_host(self, self._access_files(check=True))
        result = {**as_result(looked), "changed": True}
        if self._check or result.get("failed"):
            return result
        texts = {entry["path"]: entry["content"] for entry in self._entries}
        trial = {
            "rules": texts.get(FIREWALL_FILE),
            "sshd": texts.get(SSHD_FILE),
            "sshd_file": SSHD_FILE,
            "seconds": self._inputs["confirm_seconds"],
        }
        (tried,) = ask_host(self, Call(_access_program, "trial", trial))
        if not tried["ok"]:
            return {"failed": True, "msg": tried["msg"]}
        try:
            # What is open already would go on working; only a new connection proves that there can be one.
            self._connection.reset()
            (confirmed,) = ask_host(self, Call(_access_program, "confirm", {}))
        except AnsibleConnectionFailure as error:
            return {
                "failed": True,
                "msg": f"no new connection with the new firewall or sshd ({error}); the host takes them back "
                f"{self._inputs['confirm_seconds']} s after they came; mend the inputs and run again",
            }
        if not confirmed["ok"]:
            return {"failed": True, "msg": confirmed["msg"]}
        (answer,) = ask_host(self, self._access_files(check=False))
        return {
            **result,
            **{key: value for key, value in as_result(answer).items() if key in ("failed", "msg")},
        }

    def _access_files(self, check: bool) -> Call:
        return files_call(self._entries, check, units=self._units)
