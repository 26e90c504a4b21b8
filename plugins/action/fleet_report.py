# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.ovms.edge.plugins.plugin_utils._fleet_table import fleet_table, row_of
from ansible_collections.ovms.edge.plugins.plugin_utils._report_file import write_report


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/fleet_report.py."""

    BYPASS_HOST_LOOP = True
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            argument_spec={
                "results": {"type": "str", "required": True},
                "path": {"type": "path", "required": True},
                "planned": {"type": "str"},
            }
        )
        known = task_vars or {}
        stores, hostvars = sorted(known["ansible_play_hosts_all"]), known["hostvars"]
        rows = [
            row_of(store, hostvars[store].get(args["results"]), hostvars[store].get(args["planned"]))
            for store in stores
        ]
        failing = [row["store"] for row in rows if not row["ok"]]
        where = self._write(Path(args["path"]).resolve(), rows)
        other = [row["store"] for row in rows if "planned" in row]
        unplanned = f", {len(other)} not what is planned" if other else ""
        said = f"{len(rows) - len(failing)} of {len(rows)} stores serve{unplanned}{where}"
        Display().display("\n" + "\n".join([*fleet_table(rows), "", said]) + "\n")
        return {**result, "changed": False, "msg": said, "failing": failing, "other": other}

    def _write(self, path: Path, rows: list[dict[str, Any]]) -> str:
        if self._task.check_mode:
            return ""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        report = {"schema": 1, "at": now, "ok": all(row["ok"] for row in rows), "stores": rows}
        return f"; report in {write_report(path, report, indent=2)}"
