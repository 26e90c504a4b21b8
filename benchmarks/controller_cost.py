#!/usr/bin/env python3
"""What a run costs the controller: CPU seconds of ansible-playbook's whole process tree, per store.

    benchmarks/controller_cost.py [--limit stores] [--runs 3]

Runs `site.yml` (a no-op on a converged fleet) and `playbooks/verify_fleet.yml` on the inventory's stores, and
on one store alone, which tells the fixed cost of starting Ansible from the cost of one store more.
Targets are not counted: they are not children of this process. SSH control masters outlive ansible-playbook,
so this process adopts them (PR_SET_CHILD_SUBREAPER, prctl(2)), ends them, and counts them too.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
PR_SET_CHILD_SUBREAPER = 36
AIMS = {"site.yml": 2.0, "playbooks/verify_fleet.yml": 0.3}  # CPU seconds per store


@dataclass(frozen=True)
class Cost:
    playbook: str
    stores: int
    cpu_seconds: float

    @property
    def per_store(self) -> float:
        return self.cpu_seconds / self.stores


def stores_in(limit: str) -> list[str]:
    listing = subprocess.run(
        [BIN / "ansible", limit, "--list-hosts"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [line.strip() for line in listing.splitlines()[1:]]


def reap_orphans() -> None:
    """End and wait for what ansible-playbook left behind, so that its CPU time counts as a child's."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    while pids := [int(pid) for pid in children.read_text().split()]:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        for pid in pids:
            os.waitpid(pid, 0)


def children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(playbook: str, hosts: list[str]) -> Cost:
    """One run with SSH connections of its own."""
    with tempfile.TemporaryDirectory(prefix="cc") as control:  # short: a socket's path has 108 bytes
        before = children_cpu()
        run = subprocess.run(
            [BIN / "ansible-playbook", playbook, "-l", ",".join(hosts)],
            cwd=ROOT,
            env=os.environ | {"ANSIBLE_SSH_CONTROL_PATH_DIR": control},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        reap_orphans()
        cpu = children_cpu() - before
    if run.returncode:
        sys.exit(f"{playbook} failed, so there is nothing to measure:\n{run.stdout[-3000:]}")
    changed = [line for line in run.stdout.splitlines() if "changed=" in line and "changed=0" not in line]
    if changed:
        sys.exit(f"{playbook} changed something, so this is not a no-op:\n" + "\n".join(changed))
    return Cost(playbook, len(hosts), cpu)


def median(playbook: str, hosts: list[str], runs: int) -> Cost:
    costs = [measure(playbook, hosts).cpu_seconds for _ in range(runs)]
    return Cost(playbook, len(hosts), statistics.median(costs))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", default="stores", help="which stores (default: stores)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each; the median counts (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    hosts = stores_in(arguments.limit)
    print(f"{'playbook':<28} {'stores':>6} {'CPU s':>7} {'per store':>10} {'one more':>9} {'aim':>5}")
    report = []
    for playbook, aim in AIMS.items():
        alone = median(playbook, hosts[:1], arguments.runs)
        fleet = median(playbook, hosts, arguments.runs)
        more = len(hosts) - 1
        marginal = (fleet.cpu_seconds - alone.cpu_seconds) / more if more else alone.cpu_seconds
        print(f"{playbook:<28} {1:>6} {alone.cpu_seconds:>7.2f} {alone.per_store:>10.2f} {'':>9} {aim:>5}")
        print(
            f"{playbook:<28} {fleet.stores:>6} {fleet.cpu_seconds:>7.2f} {fleet.per_store:>10.2f}"
            f" {marginal:>9.2f} {aim:>5}"
        )
        report.append(
            {
                "playbook": playbook,
                "stores": fleet.stores,
                "cpu_seconds": fleet.cpu_seconds,
                "per_store": fleet.per_store,
                "one_more": marginal,
                "aim": aim,
            }
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
