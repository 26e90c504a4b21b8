"""``ovms-node``: the commands, their options and their exit statuses."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import ovms_edge
from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node import keep_command, stage_command, transfer_command
from ovms_edge.node.activate import activate, previous_deployment, requested_settings
from ovms_edge.node.config import STATE_DIR, SYSFS_ROOT, NodeConfig, load_node_config
from ovms_edge.node.depot import Depot
from ovms_edge.node.docker import Docker
from ovms_edge.node.facts import collect_facts, server_facts
from ovms_edge.node.failures import ActivationError, edge_error
from ovms_edge.node.gate import run_gate
from ovms_edge.node.lock import exclusive
from ovms_edge.node.options import Document, Parsers, outlive_connection
from ovms_edge.node.output import emit, log
from ovms_edge.node.pace import Unhurried
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.node.state import load_state
from ovms_edge.node.status import last_status, refuse_revoked
from ovms_edge.node.switch import target_of
from ovms_edge.node.texts import change_text, facts_text, gate_text, status_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 refused or failed, 2 usage."""
    os.umask(0o022)  # user 5000 in the container reads what is made here, whatever the caller's mask
    options = _parser().parse_args(arguments)
    try:
        document: Document = options.run(options)
    except ActivationError as error:
        document = {"ok": False, "reason": error.reason, "remedy": error.remedy, **error.document}
        _fail(document, options.json, error)
        return 1
    except (EdgeError, OSError) as caught:
        shown = edge_error(caught)
        _fail({"ok": False, "reason": shown.reason, "remedy": shown.remedy}, options.json, shown)
        return 2 if isinstance(shown, UsageError) else 1
    text: Callable[[Document], str] = options.text
    emit(document, text(document), options.json)
    return 0 if document["ok"] else 1


def _fail(document: Document, as_json: bool, error: EdgeError) -> None:
    log(f"ovms-node: {error}")
    if as_json:
        emit(document, "", as_json)
    else:
        for line in document.get("log_tail", ()):
            log(f"  {line}")
        if "serving" in document:
            log(f"serving now: {document['serving'] or 'nothing'}")


def _facts(options: argparse.Namespace) -> Document:
    config = load_node_config(options.node_config) if options.node_config.exists() else None
    state_dir = options.state_dir or (config.state_dir if config else STATE_DIR)
    sysfs_root = options.sysfs_root or (config.sysfs_root if config else SYSFS_ROOT)
    return collect_facts(state_dir, sysfs_root)


def _activate(options: argparse.Namespace) -> Document:
    config, ref = load_node_config(options.node_config), ReleaseRef.parse(options.release)
    settings = _read_settings(options.server)
    return _switch(config, options, lambda: (ref, settings))


def _rollback(options: argparse.Namespace) -> Document:
    config = load_node_config(options.node_config)

    def wanted() -> tuple[ReleaseRef, object]:
        previous = previous_deployment(config)
        return ReleaseRef.parse(previous.release), previous.settings

    return _switch(config, options, wanted)


def _switch(
    config: NodeConfig, options: argparse.Namespace, wanted: Callable[[], tuple[ReleaseRef, object | None]]
) -> Document:
    """Activate what ``wanted`` says once nobody else changes it."""

    def run() -> Document:
        ref, document = wanted()
        source = Depot(config, Unhurried(), attempts=1)  # a store without a link must be able to switch
        refuse_revoked(last_status(config, source, ref.name, keep=not options.check), ref)
        return activate(config, Docker(), ref, requested_settings(config, document), options.check)

    if options.check:
        return {**run(), "check": True}
    outlive_connection()
    with exclusive(StatePaths(config.state_dir).lock, options.wait):
        return run()


def _verify(options: argparse.Namespace) -> Document:
    config = load_node_config(options.node_config)
    state = load_state(StatePaths(config.state_dir).state)
    if state.active is None:
        raise EdgeError("nothing is active on this node", "run ovms-node activate NAME@VERSION")
    return run_gate(Docker(), target_of(config, state.active), wait_seconds=0).document


def _status(options: argparse.Namespace) -> Document:
    config = load_node_config(options.node_config)
    state = load_state(StatePaths(config.state_dir).state)
    keys = ("release", "servable", "since", "summary")

    def short(deployment: object) -> Document | None:
        return {key: getattr(deployment, key) for key in keys} if deployment else None

    return {
        "ok": True,
        "active": short(state.active),
        "previous": short(state.previous),
        "pending": asdict(state.pending) if state.pending else None,
        "server": server_facts(Docker(), state.active),
    }


def _read_settings(source: str | None) -> object | None:
    if source is None:
        return None
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text()
        document: object = json.loads(text)
    except OSError as error:
        raise UsageError(
            f"{source} cannot be read: {error.strerror}", "name a file, or - for standard input"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"server settings are not JSON: {error}", "see docs/contracts.md for their form"
        ) from error
    parse_server_settings(document)
    return document


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ovms-node", description="Releases and the OVMS container of this node."
    )
    parser.add_argument("--version", action="version", version=f"ovms-node {ovms_edge.__version__}")
    parsers = Parsers.of(parser)
    commands, common, changes = parsers.commands, parsers.common, parsers.changes
    stage_command.add_commands(parsers)
    transfer_command.add_commands(parsers)
    keep_command.add_commands(parsers)

    facts = commands.add_parser("facts", parents=[common], help="what this node is and has")
    facts.add_argument("--sysfs-root", type=Path, metavar="DIR")
    facts.add_argument("--state-dir", type=Path, metavar="DIR")
    facts.set_defaults(run=_facts, text=facts_text)

    activate_ = commands.add_parser("activate", parents=[common, changes], help="serve a staged release")
    activate_.add_argument("release", metavar="NAME@VERSION")
    activate_.add_argument("--server", metavar="FILE|-", help="server settings; else those of what is active")
    activate_.set_defaults(run=_activate, text=change_text)

    rollback = commands.add_parser("rollback", parents=[common, changes], help="serve what was active before")
    rollback.set_defaults(run=_rollback, text=change_text)

    verify = commands.add_parser("verify", parents=[common], help="the gate: does it really answer")
    verify.set_defaults(run=_verify, text=gate_text)

    status = commands.add_parser("status", parents=[common], help="what serves")
    status.set_defaults(run=_status, text=status_text)
    return parser
