# SPDX-License-Identifier: Apache-2.0
"""What the reports of a play over all its hosts have in common. Private to this collection."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.ovms.edge.plugins.plugin_utils._report_file import write_report

# What a store has under the name that an option gives; None if it has nothing.
Registered = Callable[[str, str], Any]


@dataclass(frozen=True)
class Report:
    """``lines`` end with the one that sums up, ``document`` goes to the file, ``result`` to the play."""

    lines: list[str]
    document: dict[str, Any]
    result: dict[str, Any]


class ReportAction(ActionBase):
    """Runs once for all hosts: shows a table, and writes a file if there is a path and this is no dry run."""

    BYPASS_HOST_LOOP = True
    _requires_connection = False
    _supports_check_mode = True

    OPTIONS: ClassVar[dict[str, dict[str, Any]]]
    NOUN = "report"
    INDENT = 2

    def report(
        self, args: dict[str, Any], stores: list[str], registered: Registered, now: datetime.datetime
    ) -> Report:
        """Return what there is to say of ``stores``, which are sorted."""
        raise NotImplementedError

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(argument_spec=self.OPTIONS)
        known = task_vars or {}
        stores, hostvars = sorted(known["ansible_play_hosts_all"]), known["hostvars"]
        report = self.report(
            args,
            stores,
            lambda store, option: hostvars[store].get(args[option]),
            datetime.datetime.now(datetime.UTC),
        )
        *table, said = report.lines
        if args["path"] and not self._task.check_mode:
            written = write_report(Path(args["path"]).resolve(), report.document, indent=self.INDENT)
            said += f"; {self.NOUN} in {written}"
        Display().display("\n" + "\n".join([*table, said]) + "\n")
        return {**result, "changed": False, "msg": said, **report.result}


def document_of(rows: list[dict[str, Any]], now: datetime.datetime) -> dict[str, Any]:
    """Return the document of a report whose rows say whether they are ``ok``."""
    ok = all(row["ok"] for row in rows)
    return {"schema": 1, "at": now.isoformat(timespec="seconds"), "ok": ok, "stores": rows}


def failing(rows: list[dict[str, Any]]) -> list[str]:
    """Return the stores that are not ``ok``."""
    return [row["store"] for row in rows if not row["ok"]]
