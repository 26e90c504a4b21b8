"""``ovms-edge rollout simulate``."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ovms_edge.release.options import Subparsers
    from ovms_edge.rollout.simulation.run import Simulated

_HOUR = 3600.0


def add(commands: Subparsers) -> None:
    """Add ``simulate``."""
    from ovms_edge.rollout.simulation.troubles import Troubles

    summary = "run a plan over simulated stores with troubles, in seconds"
    parser = commands.add_parser(
        "simulate",
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. The engine is the one that moves real stores.",
        epilog="example:\n  ovms-edge rollout simulate PLAN.json --offline 10% --refuses 2%",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("plan", type=Path, metavar="PLAN.json")
    usual = Troubles()
    for name, what in (
        ("offline", "cannot be reached at first, for up to ten days"),
        ("flaky", "go offline again and again"),
        ("slow", "take ten times as long to stage"),
        ("refuses", "have a gate that says no"),
        ("turns-bad", "pass their gate, and not the one after the soak"),
        ("no-space", "have no room to stage"),
        ("wrong-clock", "take no certificate, their clock being off"),
        ("stuck", "never end what they were told"),
    ):
        part = getattr(usual, name.replace("-", "_"))
        parser.add_argument(
            f"--{name}",
            type=_part,
            default=part,
            metavar="PERCENT",
            help=f"stores that {what} (default: {part:.0%})".replace("%", "%%"),
        )
    parser.add_argument("--seed", type=int, default=usual.seed, help="another seed, other stores")
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="keep the journal, for status and report"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.set_defaults(run=_simulate)


def _part(text: str) -> float:
    if not re.fullmatch(r"\d{1,3}(\.\d+)?%?", text) or float(text.rstrip("%")) > 100:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no percent; write a number from 0 to 100, such as 2.5%"
        )
    return float(text.rstrip("%")) / 100


def _simulate(options: argparse.Namespace) -> int:
    import tempfile

    from ovms_edge.rollout.plan import read_plan
    from ovms_edge.rollout.simulation.run import simulate
    from ovms_edge.rollout.simulation.troubles import Troubles, troubled_fleet

    plan = read_plan(options.plan)
    fields = Troubles.__slots__
    fleet = troubled_fleet(plan, Troubles(**{name: getattr(options, name) for name in fields}))
    with tempfile.TemporaryDirectory(prefix="ovms-edge-simulation-") as directory:
        done = simulate(plan, fleet, options.journal or Path(directory) / "rollouts.sqlite")
    print(json.dumps(done.document) if options.json else _text(done))
    return 0 if done.state == "done" else 1


def _text(done: Simulated) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in done.counts.items())
    return "\n".join(
        [
            f"{done.state} after {done.virtual_seconds / _HOUR:.1f} simulated hours: {counts}",
            *([done.reason] if done.reason else []),
            f"{done.activations} activations; computed in {done.wall_seconds:.1f} s, "
            f"{done.peak_memory_bytes / 2**20:.0f} MiB",
        ]
    )
