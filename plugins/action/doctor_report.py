# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.ovms.edge.plugins.plugin_utils._doctor_table import doctor_table, entry_of, summary
from ansible_collections.ovms.edge.plugins.plugin_utils._report_file import write_report


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/doctor_report.py."""

    BYPASS_HOST_LOOP = True
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            argument_spec={
                "results": {"type": "str", "required": True},
                "path": {"type": "path"},
            }
        )
        known = task_vars or {}
        stores, hostvars = sorted(known["ansible_play_hosts_all"]), known["hostvars"]
        entries = [entry_of(store, hostvars[store].get(args["results"])) for store in stores]
        said = summary(entries)
        if args["path"] and not self._task.check_mode:
            said += f"; report in {self._write(Path(args['path']).resolve(), entries)}"
        Display().display("\n" + "\n".join([*doctor_table(entries), "", said]) + "\n")
        failing = [entry["store"] for entry in entries if not entry["ok"]]
        return {**result, "changed": False, "msg": said, "failing": failing}

    @staticmethod
    def _write(path: Path, entries: list[dict[str, Any]]) -> Path:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        ok = all(entry["ok"] for entry in entries)
        return write_report(path, {"schema": 1, "at": now, "ok": ok, "stores": entries}, indent=2)
