# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import datetime
from typing import Any, ClassVar

from ansible_collections.ovms.edge.plugins.plugin_utils._report_action import (
    Registered,
    Report,
    ReportAction,
)
from ansible_collections.ovms.edge.plugins.plugin_utils._survey import SCHEMA, summary, surveyed


class ActionModule(ReportAction):
    """See the documentation in plugins/modules/survey_report.py."""

    OPTIONS: ClassVar[dict[str, dict[str, Any]]] = {
        "release": {"type": "str", "required": True},
        "facts": {"type": "str", "required": True},
        "staged": {"type": "str", "required": True},
        "refusal": {"type": "str", "required": True},
        "path": {"type": "path", "required": True},
    }
    NOUN = "survey"
    INDENT = 1

    def report(
        self, args: dict[str, Any], stores: list[str], registered: Registered, now: datetime.datetime
    ) -> Report:
        said = {
            name: surveyed(*(registered(name, option) for option in ("facts", "staged", "refusal")))
            for name in stores
        }
        at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        document = {"schema": SCHEMA, "release": args["release"], "at": at, "stores": said}
        unsuitable = [name for name, store in said.items() if store["suitable"] is False]
        return Report(summary(said, args["release"]), document, {"unsuitable": unsuitable})
