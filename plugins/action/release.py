# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from typing import Any, ClassVar

from ansible.errors import AnsibleConnectionFailure
from ansible.utils.display import Display

from ansible_collections.ovms.edge.plugins.plugin_utils._node_tool import (
    NodeToolAction,
    ToolMissingError,
    as_result,
)
from ansible_collections.ovms.edge.plugins.plugin_utils._transfer_progress import (
    Progress,
    ending,
    file_diff,
    is_running,
    plan_line,
    progress_line,
)


class ActionModule(NodeToolAction):
    """See the documentation in plugins/modules/release.py."""

    argument_spec: ClassVar[dict[str, Any]] = {
        "release": {"type": "str", "required": True},
        "image": {"type": "str"},
        "bundle": {"type": "path"},
        "verify": {"type": "bool", "default": False},
        "detached": {"type": "bool", "default": False},
        "start": {"type": "bool", "default": True},
        "wait": {"type": "bool", "default": True},
        "poll_seconds": {"type": "float", "default": 5},
        "lost_seconds": {"type": "float", "default": 600},
    }

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        known = task_vars or {}
        self._store = str(known.get("inventory_hostname", ""))
        self._width = max(map(len, known.get("ansible_play_hosts_all") or [self._store]))
        return super().run(tmp, task_vars)

    def answer(self, args: dict[str, Any]) -> dict[str, Any]:
        try:
            if self.check_mode:
                return self._planned(args)
            if not args["detached"]:
                return as_result(with_files(self.call_tool("stage", *words(args))))
            return self._detached(args)
        except ToolMissingError:
            return self.without_tool({"before": {"staged": None}, "after": {"staged": args["release"]}})

    def _planned(self, args: dict[str, Any]) -> dict[str, Any]:
        plan = self.call_tool("stage", *words(args), "--check")
        # A dry run may well meet an earlier ovms-node, which says less.
        if plan["ok"] and plan["changed"] and "fetch_bytes" in plan:
            self._show(plan_line(self._store, self._width, plan))
        return as_result(with_files(plan))

    def _detached(self, args: dict[str, Any]) -> dict[str, Any]:
        started = {"ok": True, "changed": False}
        if args["start"]:
            started = self.call_tool("stage", *words(args), "--detach")
        if not started["ok"] or not args["wait"]:
            # whether it changes anything is known at its end: who waits for that says so
            return as_result({**started, "changed": False})
        return as_result(with_files(self._ended(args)))

    def _ended(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return the document of the stage, once it has ended or the host was lost for too long."""
        release, progress, heard = args["release"], Progress(), time.monotonic()
        while True:
            try:
                status = self.call_tool("transfer", "status")
                heard = time.monotonic()
            except AnsibleConnectionFailure as error:
                if time.monotonic() - heard > args["lost_seconds"]:
                    return lost(release, args["lost_seconds"], str(error))
                status = {
                    "ok": True,
                    "release": release,
                    "state": "unreachable",
                    "reason": "it goes on there",
                }
                self._connection.reset()  # a control socket of a link that is gone would only time out again
            if not status["ok"]:
                return status
            unreachable = status["state"] == "unreachable"
            if status.get("release") == release and progress.due(status, time.monotonic()):
                self._show(progress_line(self._store, self._width, release, status))
            if not (unreachable or (is_running(status) and status.get("release") == release)):
                return ending(status, release)
            time.sleep(args["poll_seconds"])

    def _show(self, line: str) -> None:
        # In a worker this goes through the queue to the parent, so lines of several stores never mix.
        Display().display(line)


def words(args: dict[str, Any]) -> list[str]:
    """Return the words that name what to stage, from where."""
    options = [f"--{name}={args[name]}" for name in ("image", "bundle") if args[name]]
    return [args["release"], *options, *(["--verify"] if args["verify"] else [])]


def with_files(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with a diff of the release's files, if it lists them and something changes."""
    if not (document.get("changed") and document.get("files")):
        return document
    return {**document, "diff": file_diff(document["release"], document["files"])}


def lost(release: str, seconds: float, error: str) -> dict[str, Any]:
    """Return the failure of a store that did not answer for ``seconds``."""
    return {
        "ok": False,
        "reason": f"no answer from the host for {seconds:.0f} s ({error.strip()}); "
        f"the transfer of {release} goes on there",
        "remedy": "run this again once the host is reached: it takes up what is there by then",
    }
