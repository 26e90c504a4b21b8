#!/usr/bin/env python3
"""What a switch costs those who ask meanwhile, in both tiers and beside OVMS's own reload.

    benchmarks/switch.py [--switches 50] [--tier A --tier B] [--no-peer] [--json FILE]

On the machine of a running lab (`make demo`). Makes a store of its own with two releases, switches between
them under a load of four clients (streaming and not, on kept and on new connections), and removes it.
Times in ms. `quiet` is the same load with no switch, `longest` the longest that a request took. For tier B
`own` is what the servers took themselves (drain of the old; start, load and gate of the new), and `beyond`
what the slowest request took more than that, its answer included, of the switch where it was the most.
`flip` counts only the part of tier A in which requests go over: before it the new model loads on the same
processor. The peer edits graph.pbtxt and config.json and posts /v1/config/reload on a plain container of the
same image.
Exits with 1 if a request failed, or tier B took more than 500 ms beyond. All of it is measured on the lab's
stand-in for OVMS, on a CPU that server, load and switch share: it tells what a switch adds, not how fast
OVMS is.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.switching.peer import Peer, plain_container  # noqa: E402
from benchmarks.switching.report import Row, Switch, flip_row, row, table  # noqa: E402
from tests.e2e.load import Endpoint, Interval, Load, Report  # noqa: E402
from tests.e2e.two_releases import Two, two_releases  # noqa: E402

TIERS = ("A", "B")
QUIET_SECONDS = 20.0
BEYOND_AIM_MS = 500.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--switches", type=int, default=50, metavar="N", help="in each way (default: 50)")
    parser.add_argument("--tier", action="append", choices=TIERS, help="only this one (default: both)")
    parser.add_argument("--no-peer", action="store_true", help="leave OVMS's own reload out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ovms-edge-benchmark-") as directory,
        two_releases("switch-benchmark", Path(directory)) as two,
    ):
        rows = measure(two, options.switches, options.tier or TIERS, peer=not options.no_peer)
    print(f"{len(os.sched_getaffinity(0))} processors for servers, load and switch")
    print("\n".join(table(rows)))
    if options.json:
        options.json.write_text(json.dumps([one.document for one in rows], indent=2) + "\n")
    ours = [one for one in rows if one.way.startswith("tier")]
    return int(any(one.failed or one.truncated or (one.beyond or 0) > BEYOND_AIM_MS for one in ours))


def measure(two: Two, switches: int, tiers: Sequence[str], *, peer: bool) -> list[Row]:
    rows = []
    for tier in tiers:
        two.activate(1, tier=tier)
        report, quiet, done = under_load(two.store.endpoint(), switches, partial(switched, two, tier))
        rows.append(row(f"tier {tier}", report, quiet, done))
        if tier == "A":
            rows.append(flip_row("tier A, flip", report, quiet, done))
    if peer:
        with plain_container(two) as plain:
            report, quiet, done = under_load(plain.endpoint, switches, partial(reloaded, plain))
        rows.append(row("OVMS reload", report, quiet, done))
    return rows


def switched(two: Two, tier: str, number: int) -> dict[str, float]:
    document: dict[str, Any] = two.activate(number, tier=tier)
    steps: dict[str, float] = document["steps"]
    return steps


def reloaded(plain: Peer, number: int) -> dict[str, float]:
    plain.reload(number + 1)
    return {}


def under_load(
    endpoint: Endpoint, switches: int, switch: Callable[[int], dict[str, float]]
) -> tuple[Report, Report, list[Switch]]:
    """Return what the load saw with and without switches, and the switches."""
    with Load(endpoint) as load:
        time.sleep(QUIET_SECONDS)
    quiet = load.report()
    done = []
    with Load(endpoint) as load:
        for number in range(switches):
            start = time.time()
            steps = switch(number)
            done.append(Switch(Interval(start, time.time()), steps))
            load.wait_for(1)
            print(f"\r{number + 1} of {switches} on {endpoint.url}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return load.report(), quiet, done


if __name__ == "__main__":
    sys.exit(main())
