"""``ovms-node transfer``: look at a stage that runs, pause it, set its rate."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.node.config import load_node_config
from ovms_edge.node.options import Document, Parsers
from ovms_edge.node.output import size_text, table
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.rate import parse_rate
from ovms_edge.node.transfer_files import (
    SCHEDULED,
    UNLIMITED,
    Control,
    load_control,
    read_status,
    save_control,
)


def add_commands(parsers: Parsers) -> None:
    """Add ``transfer``."""
    transfer = parsers.commands.add_parser("transfer", help="a stage that runs: status, pause, resume, rate")
    commands = transfer.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, summary: str, run: Callable[[argparse.Namespace], Document]
    ) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, parents=[parsers.common], help=summary)
        parser.set_defaults(run=run, text=_status_text if name == "status" else _control_text)
        return parser

    add("status", "how far it is", _status)
    add("pause", "fetch nothing until resumed, over restarts too", _pause)
    add("resume", "go on", _resume)
    rate = add("rate", "another rate than the schedule's, until told otherwise", _rate)
    rate.add_argument("rate", metavar="RATE", help=f"such as 10Mbit, {UNLIMITED}, or {SCHEDULED}")


def _status(options: argparse.Namespace) -> Document:
    paths = StatePaths(load_node_config(options.node_config).state_dir)
    return {"ok": True, **read_status(paths)}


def _pause(options: argparse.Namespace) -> Document:
    return _tell(options, lambda control: replace(control, paused=True))


def _resume(options: argparse.Namespace) -> Document:
    return _tell(options, lambda control: replace(control, paused=False), mend=True)


def _rate(options: argparse.Namespace) -> Document:
    if options.rate not in (SCHEDULED, UNLIMITED):
        try:
            parse_rate(options.rate)
        except UsageError as error:
            raise UsageError(error.reason, f"{error.remedy}; {UNLIMITED}, or {SCHEDULED}") from None
    return _tell(options, lambda control: replace(control, rate=options.rate), mend=True)


def _tell(options: argparse.Namespace, change: Callable[[Control], Control], mend: bool = False) -> Document:
    paths = StatePaths(load_node_config(options.node_config).state_dir)
    try:
        before = load_control(paths)
    except EdgeError:
        if not mend:
            raise
        before = Control()
    after = change(before)
    save_control(paths, after)
    return {"ok": True, "changed": before != after, "paused": after.paused, "rate": after.rate}


def _control_text(document: Document) -> str:
    return table([("paused", "yes" if document["paused"] else "no"), ("rate", document["rate"])])


def _status_text(status: Document) -> str:
    if status["state"] == "idle":
        return "nothing was staged yet"
    left = status["seconds_left"]
    rows: list[tuple[str, object]] = [
        ("release", status["release"]),
        ("state", status["state"] + (f": {status['reason']}" if status["reason"] else "")),
        ("fetched", _share(status["fetched_bytes"], status["fetch_bytes"])),
        ("in place", _share(status["written_bytes"], status["bytes"])),
        ("now", f"{status['rate_now'] * 8 / 1e6:.1f} Mbit/s" if status["rate_now"] else None),
        ("limit", f"{status['rate'] * 8 / 1e6:g} Mbit/s" if status["rate"] is not None else "none"),
        ("left", f"{left} s" if left is not None else None),
        ("started", status["started"]),
        ("updated", status["updated"]),
        ("remedy", status["remedy"]),
    ]
    return table(rows)


def _share(done: int, total: int) -> str | None:
    return f"{size_text(done)} of {size_text(total)}" if total else None
