# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.ovms.edge.plugins.plugin_utils._node_tool import (
    NodeToolAction,
    ToolMissingError,
    as_result,
)

SCHEMA = 2


class ActionModule(NodeToolAction):
    """See the documentation in plugins/modules/node_facts.py."""

    argument_spec: ClassVar[dict[str, Any]] = {"sysfs_root": {"type": "str"}, "state_dir": {"type": "str"}}

    def answer(self, args: dict[str, Any]) -> dict[str, Any]:
        document = self._facts(args)
        if not document["ok"]:
            return as_result(document)
        return {"changed": False, "ansible_facts": {"ovms_node": document}}

    def _facts(self, args: dict[str, Any]) -> dict[str, Any]:
        options = []
        for name in ("sysfs_root", "state_dir"):
            if args[name]:
                options += [f"--{name.replace('_', '-')}", args[name]]
        try:
            document = self.call_tool("facts", *options)
        except ToolMissingError:
            document = {}
        if document.get("schema") == SCHEMA:
            return document
        try:
            return self.call_temporary_tool("facts", *options)
        except ToolMissingError:
            return {
                "ok": False,
                "reason": "the host has no python3",
                "remedy": "install Debian's package python3 on it",
            }
