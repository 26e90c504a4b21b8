# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.ovms.edge.plugins.plugin_utils._file_changes import (
    as_result,
    files_call,
    packages_call,
)
from ansible_collections.ovms.edge.plugins.plugin_utils._host_program import NoAnswerError, ask_host

_CONTENTS = ("content", "merge", "source")


def as_entry(file: dict[str, Any]) -> dict[str, Any]:
    """Return what the program on the host needs to know of one wanted file: a source goes by its digest."""
    sent_as_it_is = ("path", "mode", "group", "content", "merge", "secret", "validate")
    entry = {key: file[key] for key in sent_as_it_is if file[key] is not None}
    if file["source"] is not None:
        entry["sha256"] = hashlib.sha256(Path(file["source"]).read_bytes()).hexdigest()
    if all(file[key] is None for key in _CONTENTS):
        entry["directory"] = True
    return entry


def with_data(file: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a file with a source, content and all."""
    data = base64.b64encode(Path(file["source"]).read_bytes()).decode()
    kept = {key: file[key] for key in ("path", "mode", "group", "validate") if file[key] is not None}
    return {**kept, "data": data}


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/host_files.py."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            argument_spec={
                "files": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "mutually_exclusive": [_CONTENTS],
                    "options": {
                        "path": {"type": "path", "required": True},
                        "mode": {"type": "str", "required": True},
                        "group": {"type": "str"},
                        "content": {"type": "str"},
                        "merge": {"type": "dict"},
                        "source": {"type": "path"},
                        "secret": {"type": "bool"},
                        "validate": {"type": "list", "elements": "str"},
                    },
                },
                "groups": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "options": {
                        "gid": {"type": "int", "required": True},
                        "name": {"type": "str", "required": True},
                    },
                },
                "units": {"type": "list", "elements": "str", "default": []},
                "packages": {"type": "list", "elements": "str", "default": []},
            }
        )
        files, more = args["files"], {name: args[name] for name in ("groups", "units")}
        try:
            entries = [as_entry(file) for file in files]
        except FileNotFoundError as error:
            reason = f"{error.filename} is missing on the controller; run `make node-tool`"
            return {**result, "failed": True, "msg": reason}
        answer = self._send(entries, more, args["packages"])
        lacking = {change["path"] for change in answer["changes"] if change.pop("wants_data", False)}
        if answer["ok"] and lacking and not self._task.check_mode:
            rest = self._send([with_data(file) for file in files if file["path"] in lacking], more)
            answer["changes"] += [change for change in rest["changes"] if change["path"] not in lacking]
            answer["ok"], answer["msg"] = rest["ok"], rest.get("msg", "")
        return {**result, **as_result(answer)}

    def _send(
        self, entries: list[dict[str, Any]], more: dict[str, Any], packages: list[str] | None = None
    ) -> dict[str, Any]:
        check = bool(self._task.check_mode)
        calls = [packages_call(packages, check)] if packages else []
        try:
            return ask_host(self, *calls, files_call(entries, check, **more))[-1]
        except NoAnswerError as error:
            return {"ok": False, "msg": str(error), "changes": []}
