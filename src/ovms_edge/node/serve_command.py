"""``ovms-node activate``, ``rollback``, ``verify`` and ``status``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.activate import activate, previous_deployment, requested_settings
from ovms_edge.node.config import NodeConfig, load_node_config
from ovms_edge.node.depot import Depot
from ovms_edge.node.docker import Docker
from ovms_edge.node.facts import server_facts
from ovms_edge.node.gate import run_gate
from ovms_edge.node.lock import exclusive
from ovms_edge.node.options import Document, Parsers, outlive_connection
from ovms_edge.node.pace import Unhurried
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.node.state import load_state
from ovms_edge.node.status import last_status, refuse_revoked
from ovms_edge.node.switch import target_of
from ovms_edge.node.texts import change_text, gate_text, status_text


def add_commands(parsers: Parsers) -> None:
    """Add what serves and what tells of it."""
    commands, common, changes = parsers.commands, parsers.common, parsers.changes
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
