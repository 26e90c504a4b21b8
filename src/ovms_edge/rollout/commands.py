"""``ovms-edge rollout``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovms_edge.rollout import control_commands, plan_command, report_command, simulate_command

if TYPE_CHECKING:
    from ovms_edge.release.options import Subparsers


def add_group(groups: Subparsers) -> None:
    """Add ``rollout`` and its commands."""
    group = groups.add_parser("rollout", help="move a fleet to a release, wave by wave")
    commands = group.add_subparsers(metavar="COMMAND", required=True)
    plan_command.add(commands)
    simulate_command.add(commands)
    control_commands.add(commands)
    report_command.add(commands)
