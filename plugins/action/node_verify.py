# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from ansible_collections.ovms.edge.plugins.plugin_utils._node_tool import (
    TOOL,
    NodeToolAction,
    ToolMissingError,
    as_result,
)


class ActionModule(NodeToolAction):
    """See the documentation in plugins/modules/node_verify.py."""

    def answer(self, args: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - it takes none
        try:
            document = self.call_tool("verify")
        except ToolMissingError:
            document = {
                "ok": False,
                "reason": f"nothing serves here: {TOOL} is not installed",
                "remedy": "run site.yml on this store",
            }
        result = as_result(document)
        if self.check_mode:
            # What --check announces has not been made, so what is there now may well not pass.
            result["failed"] = False
        return result
