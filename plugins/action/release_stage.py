# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.ovms.edge.plugins.plugin_utils._node_tool import (
    NodeToolAction,
    ToolMissingError,
    as_result,
)


class ActionModule(NodeToolAction):
    """See the documentation in plugins/modules/release_stage.py."""

    argument_spec: ClassVar[dict[str, Any]] = {"release": {"type": "str", "required": True}}

    def answer(self, args: dict[str, Any]) -> dict[str, Any]:
        check = ["--check"] if self.check_mode else []
        try:
            return as_result(self.call_tool("stage", args["release"], *check))
        except ToolMissingError:
            return self.without_tool({"before": {"staged": None}, "after": {"staged": args["release"]}})
