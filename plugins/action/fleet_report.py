# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import datetime
from typing import Any, ClassVar

from ansible_collections.ovms.edge.plugins.plugin_utils._fleet_table import fleet_table, row_of
from ansible_collections.ovms.edge.plugins.plugin_utils._report_action import (
    Registered,
    Report,
    ReportAction,
    document_of,
    failing,
)


class ActionModule(ReportAction):
    """See the documentation in plugins/modules/fleet_report.py."""

    OPTIONS: ClassVar[dict[str, dict[str, Any]]] = {
        "results": {"type": "str", "required": True},
        "path": {"type": "path", "required": True},
        "planned": {"type": "str"},
    }

    def report(
        self,
        args: dict[str, Any],  # noqa: ARG002 - what others need of it
        stores: list[str],
        registered: Registered,
        now: datetime.datetime,
    ) -> Report:
        rows = [row_of(store, registered(store, "results"), registered(store, "planned")) for store in stores]
        failed = failing(rows)
        other = [row["store"] for row in rows if "planned" in row]
        unplanned = f", {len(other)} not what is planned" if other else ""
        said = f"{len(rows) - len(failed)} of {len(rows)} stores serve{unplanned}"
        lines = [*fleet_table(rows), "", said]
        return Report(lines, document_of(rows, now), {"failing": failed, "other": other})
