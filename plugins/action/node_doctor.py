# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from ansible_collections.ovms.edge.plugins.plugin_utils._node_tool import (
    NodeToolAction,
    ToolMissingError,
    as_result,
)

SCHEMA = 1


class ActionModule(NodeToolAction):
    """See the documentation in plugins/modules/node_doctor.py."""

    def answer(self, args: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - it takes none
        document = self._document()
        if document.get("schema") != SCHEMA:
            return as_result(document)
        return {"changed": False, "doctor": document}

    def _document(self) -> dict[str, Any]:
        """Ask the host's own tool; one that is not there, or that does not know the question, is brought."""
        try:
            document = self.call_tool("doctor")
        except ToolMissingError:
            document = {}
        if document.get("schema") == SCHEMA:
            return document
        try:
            return self.call_temporary_tool("doctor")
        except ToolMissingError:
            return {
                "ok": False,
                "reason": "the host has no python3",
                "remedy": "install Debian's package python3 on it",
            }
