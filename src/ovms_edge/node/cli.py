"""``ovms-node``: the commands and their exit statuses."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import ovms_edge
from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.node.failures import ActivationError, edge_error
from ovms_edge.node.journald import Journal, stderr_is_journal
from ovms_edge.node.lock import BusyError
from ovms_edge.node.options import Document, Parsers
from ovms_edge.node.output import also_logged, emit, log
from ovms_edge.node.run import begin_run, run_id

# By the modules that have them. Only the one asked for is imported: imports are most of what a command costs.
_COMMANDS = {
    "stage_command": ("stage",),
    "transfer_command": ("transfer",),
    "keep_command": ("gc", "pin", "unpin"),
    "facts_command": ("facts",),
    "serve_command": ("activate", "rollback", "tend", "verify"),
    "status_command": ("status",),
    "doctor_command": ("doctor",),
    "decommission_command": ("decommission",),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 refused or failed, 2 usage."""
    os.umask(0o022)  # user 5000 in the container reads what is made here, whatever the caller's mask
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(words).parse_args(words)
    try:
        begin_run(options.run_id)
    except UsageError as error:
        return _refused(error, options.json)
    with also_logged(Journal(run_id(), words[0]), instead=stderr_is_journal()):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        document: Document = options.run(options)
    except ActivationError as error:
        document = {"ok": False, "reason": error.reason, "remedy": error.remedy, **error.document}
        _fail(document, options.json, error)
        return 1
    except (EdgeError, OSError) as caught:
        return _refused(edge_error(caught), options.json)
    if not document["ok"]:
        log(f"ovms-node: {document['reason']}; {document['remedy']}", failure=True)
    text: Callable[[Document], str] = options.text
    emit({**document, "run": run_id()}, text(document), options.json)
    return 0 if document["ok"] else 1


def _refused(error: EdgeError, as_json: bool) -> int:
    busy = {"busy": True} if isinstance(error, BusyError) else {}
    _fail({"ok": False, "reason": error.reason, "remedy": error.remedy, **busy}, as_json, error)
    return 2 if isinstance(error, UsageError) else 1


def _fail(document: Document, as_json: bool, error: EdgeError) -> None:
    log(f"ovms-node: {error}", failure=True)
    if as_json:
        emit({**document, "run": run_id()}, "", as_json)
    else:
        for line in document.get("log_tail", ()):
            log(f"  {line}")
        if "serving" in document:
            log(f"serving now: {document['serving'] or 'nothing'}")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ovms-node", description="Releases and the OVMS container of this node."
    )
    parser.add_argument("--version", action="version", version=f"ovms-node {ovms_edge.__version__}")
    parsers = Parsers.of(parser)
    asked = [name for name, commands in _COMMANDS.items() if words and words[0] in commands]
    for name in asked or _COMMANDS:
        import_module(f"ovms_edge.node.{name}").add_commands(parsers)
    return parser
