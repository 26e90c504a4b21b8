"""Options that commands of ``ovms-node`` have in common."""

from __future__ import annotations

import argparse
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovms_edge.node.config import NODE_CONFIG
from ovms_edge.node.run import VARIABLE

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

Document = dict[str, Any]

_DEFAULT_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Parsers:
    """Where commands are added. ``common``: options of all, ``changes``: of those that change something."""

    commands: Subparsers
    common: argparse.ArgumentParser
    changes: argparse.ArgumentParser

    @classmethod
    def of(cls, parser: argparse.ArgumentParser) -> Parsers:
        """Return the parsers below ``parser``."""
        common = argparse.ArgumentParser(add_help=False)
        common.add_argument("--json", action="store_true", help="one JSON document on standard output")
        common.add_argument(
            "--node-config", type=Path, default=NODE_CONFIG, metavar="FILE", help="default %(default)s"
        )
        common.add_argument(
            "--run-id",
            metavar="ID",
            help=f"what log lines and history name this run by (default: environment {VARIABLE}, or random)",
        )
        changes = argparse.ArgumentParser(add_help=False)
        changes.add_argument("--check", action="store_true", help="say what would change, touch nothing")
        changes.add_argument(
            "--wait",
            type=float,
            default=_DEFAULT_WAIT_SECONDS,
            metavar="SECONDS",
            help="wait for another ovms-node (default %(default)g)",
        )
        return cls(parser.add_subparsers(required=True, metavar="COMMAND"), common, changes)


def outlive_connection() -> None:
    """Go on when the SSH connection that asked for this goes away."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
