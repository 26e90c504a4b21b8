# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.ovms.edge.plugins.plugin_utils._node_tool import (
    NodeToolAction,
    ToolMissingError,
    as_result,
)

_WAIT_SECONDS = "600"


def summary(document: dict[str, Any], check: bool) -> list[str]:
    """Return a line for each thing that went or would go, and for each that stays and why."""
    would = "would be " if check else ""
    lines = [f"{would}{entry['how']}: {entry['what']} {entry['name']}" for entry in document["removed"]]
    lines += [f"left: {entry['what']} {entry['name']}: {entry['why']}" for entry in document["left"]]
    return lines or ["there is nothing of ours on this host"]


class ActionModule(NodeToolAction):
    """See the documentation in plugins/modules/decommission.py."""

    argument_spec: ClassVar[dict[str, Any]] = {"keep_releases": {"type": "bool", "default": False}}

    def answer(self, args: dict[str, Any]) -> dict[str, Any]:
        options = ["--wait", _WAIT_SECONDS, *(["--check"] if self.check_mode else [])]
        options += ["--keep-releases"] if args["keep_releases"] else []
        try:
            # The controller's own: what is installed may be older, or half removed by a run that was cut off.
            document = self.call_temporary_tool("decommission", *options)
        except ToolMissingError:
            document = {
                "ok": False,
                "reason": "the host has no python3",
                "remedy": "install Debian's package python3 on it",
            }
        result = as_result(document)
        if document["ok"]:
            result["summary"] = summary(document, self.check_mode)
        return result
