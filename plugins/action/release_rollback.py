# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.ovms.edge.plugins.plugin_utils._node_tool import (
    NodeToolAction,
    ToolMissingError,
    as_result,
)


class ActionModule(NodeToolAction):
    """See the documentation in plugins/modules/release_rollback.py."""

    argument_spec: ClassVar[dict[str, Any]] = {"leave": {"type": "str"}}

    def answer(self, args: dict[str, Any]) -> dict[str, Any]:
        options = [
            *(["--check"] if self.check_mode else []),
            *(["--from", args["leave"]] if args["leave"] else []),
        ]
        try:
            return as_result(self.call_tool("rollback", *options))
        except ToolMissingError:
            return {"failed": True, "msg": "nothing to go back to: ovms-node is not installed; run site.yml"}
