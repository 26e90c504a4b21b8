"""``ovms-node activate``, ``rollback``, ``tend`` and ``verify``: what makes a node serve, and proves it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.activate import Request, activate, previous_deployment, requested_settings
from ovms_edge.node.context import Node, load_node
from ovms_edge.node.depot import Depot
from ovms_edge.node.gate import run_gate
from ovms_edge.node.lock import BusyError, exclusive
from ovms_edge.node.node_status import publish_status
from ovms_edge.node.options import Document, Parsers, outlive_connection
from ovms_edge.node.pace import Unhurried
from ovms_edge.node.server import target_of
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.node.state import load_state
from ovms_edge.node.status import last_status, refuse_revoked
from ovms_edge.node.status_document import remember_gate
from ovms_edge.node.tend import tend
from ovms_edge.node.texts import change_text, gate_text, tend_text


def add_commands(parsers: Parsers) -> None:
    """Add what serves."""
    commands, common, changes = parsers.commands, parsers.common, parsers.changes
    activate_ = commands.add_parser("activate", parents=[common, changes], help="serve a staged release")
    activate_.add_argument("release", metavar="NAME@VERSION")
    activate_.add_argument("--server", metavar="FILE|-", help="server settings; else those of what is active")
    activate_.add_argument("--retry", action="store_true", help="also what failed on this node before")
    activate_.set_defaults(run=_activate, text=change_text)

    rollback = commands.add_parser("rollback", parents=[common, changes], help="serve what was active before")
    rollback.add_argument(
        "--from",
        dest="leave",
        metavar="NAME@VERSION",
        help="only if this is active: to call again is safe then",
    )
    rollback.set_defaults(run=_rollback, text=change_text)

    tend_ = commands.add_parser(
        "tend",
        parents=[common],
        help="end what was interrupted, bring back what is active (at boot, and each 30 s)",
    )
    tend_.set_defaults(run=_tend, text=tend_text)

    verify = commands.add_parser("verify", parents=[common], help="the gate: does it really answer")
    verify.set_defaults(run=_verify, text=gate_text)


def _activate(options: argparse.Namespace) -> Document:
    document, ref = _read_settings(options.server), ReleaseRef.parse(options.release)
    node = load_node(options.node_config)
    return _switch(
        node, options, lambda: Request(ref, requested_settings(node.paths, document), options.retry)
    )


def _rollback(options: argparse.Namespace) -> Document:
    node, leave = load_node(options.node_config), options.leave and ReleaseRef.parse(options.leave)

    def request() -> Request | None:
        active = load_state(node.paths.state).active
        if leave and active and active.release != str(leave):
            return None
        previous = previous_deployment(node.paths)
        settings = requested_settings(node.paths, previous.settings)
        return Request(ReleaseRef.parse(previous.release), settings, event="rolled_back")

    return _switch(node, options, request)


def _switch(node: Node, options: argparse.Namespace, requested: Callable[[], Request | None]) -> Document:
    """Do what ``requested`` says once nobody else changes this node; None: stay as it is."""

    def run() -> Document:
        request = requested()
        if request is None:
            active = load_state(node.paths.state).active
            return {"ok": True, "changed": False, "release": active.release if active else None}
        source = Depot(node.config, Unhurried(), attempts=1)  # a store without a link must be able to switch
        status = last_status(node.config, source, request.ref.name, keep=not options.check)
        refuse_revoked(status, request.ref)
        return activate(node, request, options.check)

    if options.check:
        return {**run(), "check": True}
    outlive_connection()
    with exclusive(node.paths.serve_lock, options.wait):
        try:
            return run()
        finally:
            publish_status(node)


def _tend(options: argparse.Namespace) -> Document:
    node = load_node(options.node_config)
    try:
        with exclusive(node.paths.serve_lock, wait_seconds=0):
            try:
                return tend(node)
            finally:
                publish_status(node)
    except BusyError as busy:
        return {"ok": True, "changed": False, "settled": [], "active": None, "busy": busy.reason}


def _verify(options: argparse.Namespace) -> Document:
    node = load_node(options.node_config)
    active = load_state(node.paths.state).active
    if active is None:
        raise EdgeError("nothing is active on this node", "run ovms-node activate NAME@VERSION")
    route = (node.gateway, active.slot)
    report = run_gate(node.docker, target_of(node, active), wait_seconds=0, route=route)
    remember_gate(node.paths, report.document)
    publish_status(node)
    return report.document


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
