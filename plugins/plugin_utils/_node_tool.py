# SPDX-License-Identifier: Apache-2.0
"""Calls of ``ovms-node`` over Ansible's connection. Private to this collection.

One exec a call, settings on standard input, no module bootstrap on the host: that keeps a call at a few
hundredths of a CPU second on the controller.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any, ClassVar

from ansible.module_utils.common.text.converters import to_bytes
from ansible.plugins.action import ActionBase

TOOL = "/usr/local/bin/ovms-node"
PACKAGED_TOOL = Path(__file__).resolve().parents[2] / "roles/node_agent/files/ovms-node"

_COMMAND_NOT_FOUND = 127
_SHOWN_STDERR_LINES = 20
_NO_INPUT = b"\n"

# Runs the zipapp that arrives on standard input, and leaves nothing behind.
_RUN_FROM_STDIN = (
    "import runpy, sys, tempfile\n"
    "with tempfile.NamedTemporaryFile(suffix='.pyz') as copy:\n"
    "    copy.write(sys.stdin.buffer.read())\n"
    "    copy.flush()\n"
    "    sys.argv = [copy.name, *sys.argv[1:]]\n"
    "    runpy.run_path(copy.name, run_name='__main__')\n"
)


# What the controller's environment calls a run, the hosts' log lines and history call it too.
_RUN_ID = "OVMS_EDGE_RUN_ID"


class ToolMissingError(Exception):
    """``ovms-node`` is not installed on the host."""


def parse_answer(rc: int, stdout: str, stderr: str) -> dict[str, Any]:
    """Return the one JSON document that ``ovms-node --json`` printed.

    A program that printed none gives a document with ``ok`` false that says what came instead.
    Raises ToolMissingError if the host has no ``ovms-node``.
    """
    if rc == _COMMAND_NOT_FOUND:
        raise ToolMissingError
    try:
        document = json.loads(stdout)
        if not isinstance(document, dict) or not isinstance(document.get("ok"), bool):
            raise ValueError("not an ovms-node document")
    except ValueError:
        said = (stderr.strip() or stdout.strip() or "nothing").splitlines()[-_SHOWN_STDERR_LINES:]
        return {
            "ok": False,
            "reason": f"ovms-node ended with status {rc} and without an answer: " + "\n".join(said),
            "remedy": "run it on the host by hand, as root, to see why",
        }
    return document


def command_line(argv: list[str]) -> str:
    """Return the shell's text for ``argv``, with the run's id if the controller's environment has one."""
    run = os.environ.get(_RUN_ID)
    return f"{_RUN_ID}={shlex.quote(run)} {shlex.join(argv)}" if run else shlex.join(argv)


def as_result(document: dict[str, Any]) -> dict[str, Any]:
    """Return the Ansible result of a document; ``msg`` of a failure is ``reason; remedy``."""
    result = {"changed": False, **document}
    if not document["ok"]:
        result["failed"] = True
        reason, remedy = document.get("reason", "no reason given"), document.get("remedy", "see its log")
        result["msg"] = f"{reason}; {remedy}"
    return result


def packaged_tool() -> bytes:
    """Return the zipapp that role node_agent installs; raises FileNotFoundError that tells how to make it."""
    try:
        return PACKAGED_TOOL.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{PACKAGED_TOOL} is missing on the controller; run `make node-tool` in the project's root"
        ) from error


class NodeToolAction(ActionBase):
    """Base of the actions that ask ``ovms-node``; subclasses implement ``answer``."""

    _supports_check_mode = True
    _supports_diff = True
    argument_spec: ClassVar[dict[str, Any]] = {}

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(argument_spec=self.argument_spec)
        try:
            result.update(self.answer(args))
        except FileNotFoundError as error:
            result.update(failed=True, msg=str(error))
        return result

    def answer(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return the task's result for validated arguments."""
        raise NotImplementedError

    @property
    def check_mode(self) -> bool:
        return bool(self._task.check_mode)

    def call_tool(self, *argv: str, stdin: str | None = None) -> dict[str, Any]:
        """Run the installed tool; raises ToolMissingError if there is none."""
        return self._execute([TOOL, *argv, "--json"], stdin)

    def call_temporary_tool(self, *argv: str) -> dict[str, Any]:
        """Run the controller's copy of the tool on a host that has none."""
        return self._execute(["python3", "-c", _RUN_FROM_STDIN, *argv, "--json"], packaged_tool())

    def without_tool(self, diff: dict[str, Any]) -> dict[str, Any]:
        """Return the result on a host with no tool: in check mode all of ``diff`` would be made."""
        if self.check_mode:
            return {"changed": True, "msg": "would follow the installation of ovms-node", "diff": diff}
        return {
            "failed": True,
            "msg": f"{TOOL} is not installed on this host; run playbooks/prepare_hosts.yml on it first",
        }

    def _execute(self, argv: list[str], stdin: str | bytes | None) -> dict[str, Any]:
        # Never without input: Ansible then asks SSH for a terminal, and log lines would mix with the answer.
        done = self._low_level_execute_command(command_line(argv), in_data=to_bytes(stdin or _NO_INPUT))
        return parse_answer(done["rc"], done["stdout"], done["stderr"])
