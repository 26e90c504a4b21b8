# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any, ClassVar

from ansible_collections.ovms.edge.plugins.plugin_utils._node_tool import (
    NodeToolAction,
    ToolMissingError,
    as_result,
)


class ActionModule(NodeToolAction):
    """See the documentation in plugins/modules/release_activate.py."""

    argument_spec: ClassVar[dict[str, Any]] = {
        "release": {"type": "str", "required": True},
        "server": {"type": "dict", "required": True},
        "retry": {"type": "bool", "default": False},
    }

    def answer(self, args: dict[str, Any]) -> dict[str, Any]:
        options = [*(["--check"] if self.check_mode else []), *(["--retry"] if args["retry"] else [])]
        settings = json.dumps(args["server"], sort_keys=True)
        try:
            document = self.call_tool("activate", args["release"], "--server", "-", *options, stdin=settings)
        except ToolMissingError:
            return self.without_tool({"before": {"serving": None}, "after": {"serving": args["release"]}})
        return as_result(document)
