"""Options that commands of ``ovms-edge rollout`` have in common."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_journal(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the journal; None stands for the usual one."""
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="default: rollouts.sqlite in XDG_STATE_HOME/ovms-edge"
    )


def add_rollout(parser: argparse.ArgumentParser) -> None:
    """Add the rollout that is meant."""
    parser.add_argument("rollout", nargs="?", metavar="ID", help="default: the newest")
