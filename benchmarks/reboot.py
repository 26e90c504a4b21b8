#!/usr/bin/env python3
"""What a host that goes down costs those who ask it meanwhile.

    benchmarks/reboot.py [--times 5] [--json FILE]

On the machine of a running lab (`make demo`). Makes a store of its own, has it reboot and lose its power
under a load of four clients (streaming and not, on kept and on new connections), and removes it. A client
asks again a second after an answer or a failure, and gives an answer up after 60 s. Times in seconds, the
median and the longest: from the reboot or power cut until the host boots, and until the first request is
answered after that. Failed requests by kind, of all times together. Exits with 1 if the store did not serve
the same by itself within 120 s, or a request failed that was asked after the first answer. A store of the
lab is a container: it has no firmware and no kernel to boot; its OVMS is the lab's stand-in with a tiny
model, on a CPU that server, load and boot share. What takes a real host longer comes on top.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.e2e import reboot  # noqa: E402
from tests.e2e.fault_store import FaultStore  # noqa: E402
from tests.e2e.reboot import Reboot  # noqa: E402
from tests.e2e.switch_store import lab_store  # noqa: E402

WAYS: dict[str, Callable[[FaultStore], None]] = {"reboot": reboot.restart, "power cut": reboot.cut_power}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=5, metavar="N", help="of each way (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ovms-edge-benchmark-") as directory,
        lab_store("labtest-reboot", Path(directory)) as store,
    ):
        found = {
            way: [reboot.under_load(store, down) for _ in range(options.times)] for way, down in WAYS.items()
        }
    rows = [row(way, reboots) for way, reboots in found.items()]
    print(f"{len(os.sched_getaffinity(0))} processors for servers, load and boot")
    for one in rows:
        print(json.dumps(one))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return int(
        not all(one.served_the_same and not one.failed_after for every in found.values() for one in every)
    )


def row(way: str, reboots: Sequence[Reboot]) -> dict[str, Any]:
    """Return the figures of all times that a store went down in one way."""
    return {
        "way": way,
        "times": len(reboots),
        "boots": spread([one.booted - one.went_down for one in reboots]),
        "first_answer": spread([one.first_answer_seconds for one in reboots]),
        "answered": sum(one.report.count - one.kinds.total() for one in reboots),
        "failed": dict(sum((one.kinds for one in reboots), Counter())),
        "failed_after": sum(len(one.failed_after) for one in reboots),
    }


def spread(seconds: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(seconds), 1), "longest": round(max(seconds), 1)}


if __name__ == "__main__":
    sys.exit(main())
