#!/usr/bin/env python3
"""What a rollout costs the controller: CPU per store, time and memory, at several sizes of fleet.

    benchmarks/rollout.py [--stores 1000 --stores 10000] [--json FILE]

The engine, its journal and its decisions are the real ones; the stores are simulated, so that what
ansible-playbook takes is not in it (benchmarks/controller_cost.py). Some stores are offline for days, flaky,
slow, stuck or refuse the release. Each size runs in a process of its own, whose peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from ovms_edge.rollout.calendar import Calendar  # noqa: E402
from ovms_edge.rollout.plan import Plan, PlannedWave  # noqa: E402
from ovms_edge.rollout.stores import Store  # noqa: E402

SIZES = (1_000, 10_000)
CANARIES, WAVES = 5, 20
TROUBLES = ("--refuses", "0.5%", "--stuck", "0.1%", "--no-space", "0.1%")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stores", action="append", type=int, metavar="N", help="default: 1000 and 10000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    rows = [measure(size) for size in options.stores or SIZES]
    print("stores   simulated  activations  ended    wall s  CPU ms/store  peak MiB")
    for row in rows:
        print(
            f"{row['stores']:>6}  {row['virtual_seconds'] / 3600:>7.1f} h  {row['activations']:>11}  "
            f"{row['state']:<7} {row['wall_seconds']:>7.1f}  {row['cpu_ms_per_store']:>12.1f}  "
            f"{row['peak_memory_bytes'] / 2**20:>8.0f}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if all(row["state"] == "done" for row in rows) else 1


def measure(size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ovms-edge-benchmark-") as directory:
        path = Path(directory) / "plan.json"
        path.write_bytes(plan_of(size).to_bytes())
        command = [
            sys.executable,
            "-m",
            "ovms_edge.cli",
            "rollout",
            "simulate",
            str(path),
            "--json",
            *TROUBLES,
        ]
        said = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True).stdout
    document: dict[str, Any] = json.loads(said)
    return {**document, "stores": size, "cpu_ms_per_store": 1000 * document["cpu_seconds"] / size}


def plan_of(size: int) -> Plan:
    """Return a plan of a canary wave and twenty more, whose budgets such a fleet keeps within."""
    names = [f"store-{number:06}" for number in range(size)]
    part = -(-(size - CANARIES) // WAVES)
    groups = [names[:CANARIES]]
    groups += [names[begin : begin + part] for begin in range(CANARIES, size, part)]
    waves = tuple(
        PlannedWave(f"wave-{number}", tuple(group), 1800.0, False, 0, 100, len(group), len(group), Calendar())
        for number, group in enumerate(groups)
    )
    hours = 3600.0
    plan = Plan(
        "", "benchmark", "vlm@2", "ahead", "pause", 4 * hours, hours / 4, 14 * 24 * hours, size, size, waves,
        {name: Store(name) for name in names}, {}, {}, dict.fromkeys(names, "vlm@1"),
    )  # fmt: skip
    return plan.identified()


if __name__ == "__main__":
    sys.exit(main())
