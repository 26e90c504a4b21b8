# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import datetime
from typing import Any, ClassVar

from ansible_collections.ovms.edge.plugins.plugin_utils._doctor_table import doctor_table, entry_of, summary
from ansible_collections.ovms.edge.plugins.plugin_utils._report_action import (
    Registered,
    Report,
    ReportAction,
    document_of,
    failing,
)


class ActionModule(ReportAction):
    """See the documentation in plugins/modules/doctor_report.py."""

    OPTIONS: ClassVar[dict[str, dict[str, Any]]] = {
        "results": {"type": "str", "required": True},
        "path": {"type": "path"},
    }

    def report(
        self,
        args: dict[str, Any],  # noqa: ARG002 - what others need of it
        stores: list[str],
        registered: Registered,
        now: datetime.datetime,
    ) -> Report:
        entries = [entry_of(store, registered(store, "results")) for store in stores]
        lines = [*doctor_table(entries), "", summary(entries)]
        return Report(lines, document_of(entries, now), {"failing": failing(entries)})
