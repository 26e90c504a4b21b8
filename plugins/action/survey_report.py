# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.ovms.edge.plugins.plugin_utils._report_file import write_report
from ansible_collections.ovms.edge.plugins.plugin_utils._survey import SCHEMA, summary, surveyed


class ActionModule(ActionBase):
    """See the documentation in plugins/modules/survey_report.py."""

    BYPASS_HOST_LOOP = True
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            argument_spec={
                "release": {"type": "str", "required": True},
                "facts": {"type": "str", "required": True},
                "staged": {"type": "str", "required": True},
                "refusal": {"type": "str", "required": True},
                "path": {"type": "path", "required": True},
            }
        )
        known = task_vars or {}
        hostvars = known["hostvars"]
        stores = {
            name: surveyed(*(hostvars[name].get(args[key]) for key in ("facts", "staged", "refusal")))
            for name in sorted(known["ansible_play_hosts_all"])
        }
        said = summary(stores, args["release"])
        said[-1] += self._write(Path(args["path"]).resolve(), args["release"], stores)
        Display().display("\n" + "\n".join(said) + "\n")
        unsuitable = [name for name, store in stores.items() if store["suitable"] is False]
        return {**result, "changed": False, "msg": said[-1], "unsuitable": unsuitable}

    def _write(self, path: Path, release: str, stores: dict[str, dict[str, Any]]) -> str:
        if self._task.check_mode:
            return ""
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        document = {"schema": SCHEMA, "release": release, "at": now, "stores": stores}
        return f"; survey in {write_report(path, document, indent=1)}"
