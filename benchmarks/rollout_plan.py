#!/usr/bin/env python3
"""What planning a large fleet costs: wall time and memory of `ovms-edge rollout plan`, beside Ansible's own
`ansible-inventory --list` of the same inventory.

    benchmarks/rollout_plan.py [--stores 100000]

The inventory is a YAML file that it makes: regions as groups, a time zone and a hardware class of each store,
and tags. The aims of the plan are 10 s and 500 MB for 100,000 stores.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
AIM_SECONDS, AIM_MB = 10.0, 500.0
REGIONS = 40
ZONES = ("Europe/Berlin", "Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Sydney")
HARDWARE = ("mtl-16", "mtl-32", "mtl-64")
ROLLOUT = """\
release: qwen2.5-vl-7b-instruct-int8@1.1.0
windows: [{days: mon-fri, from: "22:00", to: "06:00"}]
freeze: [2026-12-24, {from: 2026-11-26, to: 2026-11-30}]
waves:
  - {name: canary, tags: [canary], count: 20, at_most: {region: 1}, soak: 2h, budget: {failed: 0}}
  - {name: early, stores: "region_00:region_01", percent: 2, soak: 1h, approval: true}
  - {name: rest, at_most: {region: 50, hardware: 900}, repeat: true, count: 2000, concurrency: 200}
"""


@dataclass(frozen=True)
class Cost:
    what: str
    seconds: float
    cpu_seconds: float
    megabytes: float


def write_inventory(path: Path, stores: int) -> None:
    """Write the inventory as text: PyYAML would need longer for it than all that is measured."""
    with path.open("w") as file:
        file.write("stores:\n  children:\n")
        for region in range(REGIONS):
            file.write(
                f"    region_{region:02}:\n      vars: {{store_region: region-{region:02}}}\n      hosts:\n"
            )
            for number in range(region, stores, REGIONS):
                tags = "[canary, pilot]" if number % 500 == region else "[]"
                file.write(
                    f"        store-{number:06}: {{store_timezone: {ZONES[number % 5]}, "
                    f"store_hardware: {HARDWARE[number % 3]}, store_tags: {tags}}}\n"
                )


def measured(what: str, *command: str) -> Cost:
    """Run a command to its end; wall time, CPU time and the peak of its resident memory."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{what} ended with status {process.returncode}")
    return Cost(what, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stores", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        inventory, rollout = Path(directory, "hosts.yml"), Path(directory, "rollout.yml")
        plans = [Path(directory, name) for name in ("plan.json", "again.json")]
        write_inventory(inventory, options.stores)
        rollout.write_text(ROLLOUT)
        words = (str(BIN / "ovms-edge"), "rollout", "plan", str(rollout), "-i", str(inventory), "--output")
        costs = [measured("ovms-edge rollout plan", *words, str(plan)) for plan in plans]
        ansible = measured(
            "ansible-inventory --list", str(BIN / "ansible-inventory"), "-i", str(inventory), "--list"
        )
        digests = {hashlib.sha256(plan.read_bytes()).hexdigest() for plan in plans}
        size = plans[0].stat().st_size
    print(f"{options.stores} stores; a plan of {size / 1e6:.1f} MB")
    for cost in (*costs, ansible):
        print(f"{cost.what:<26}{cost.seconds:7.1f} s{cost.cpu_seconds:8.1f} s CPU{cost.megabytes:8.0f} MB")
    print(f"the same bytes twice      {'yes' if len(digests) == 1 else 'NO'}")
    reached = all(cost.seconds <= AIM_SECONDS and cost.megabytes <= AIM_MB for cost in costs)
    print(f"aim: {AIM_SECONDS:.0f} s, {AIM_MB:.0f} MB         {'reached' if reached else 'NOT reached'}")
    return 0 if reached and len(digests) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
