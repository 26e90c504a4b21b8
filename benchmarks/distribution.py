#!/usr/bin/env python3
"""What it costs to bring a successor of an INT8 model to a host: our client beside rsync, casync and a pull.

    benchmarks/distribution.py [--size 1600] [--markdown FILE] [--ours]

Run as root on a machine with the lab's engine and depot image (`make demo`). Installs rsync, casync, curl and
openssh-server through apt if they are missing. Everything stays on this host: bytes are counted by a relay
before each server, TLS and SSH included, TCP and IP headers not; CPU is that of the process trees.
Exits with 1 if an aim is missed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.transfer.meter import relay  # noqa: E402
from benchmarks.transfer.models import Case, make_cases  # noqa: E402
from benchmarks.transfer.peers import Cost, OurDepot, casync, registry_pull, rsync_over_ssh  # noqa: E402
from ovms_edge.cli import main as edge  # noqa: E402
from ovms_edge.manifest import Manifest  # noqa: E402
from tests.e2e import registry as depot  # noqa: E402

PROGRAMS = {"rsync": "rsync", "casync": "casync", "curl": "curl", "/usr/sbin/sshd": "openssh-server"}
# Of the fine-tune; a step takes seconds on two cores.
STEPS, STEPS_OF_OURS = 100, 15
MEMORY_AIM = 48 << 20
ASSEMBLY_AIM = 400e6


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=1600, metavar="MB", help="of the weights (default: 1600)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--ours", action="store_true", help="only ours, and only its bytes and memory")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where there is space (default: /tmp)")
    options = parser.parse_args()
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if missing and not options.ours:
        print("installing", *missing, file=sys.stderr)
        subprocess.run(["apt-get", "install", "-y", "-q", *missing], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["make", "-s", "node-tool"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="ovms-edge-benchmark-", dir=options.work) as directory:
        costs, notes = run(Path(directory), options.size * 1_000_000, peers=not options.ours)
    lines = table(costs, notes)
    print("\n".join(lines))
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n")
    return any(note.startswith("MISSED") for note in notes)


def run(work: Path, size: int, *, peers: bool) -> tuple[list[Cost], list[str]]:
    """Return the costs of every tool in every case, and what they say of the aims."""
    print("making the models", file=sys.stderr)
    cases = make_cases(work / "models", size, STEPS if peers else STEPS_OF_OURS)
    bases = {case.base: case.base.name for case in cases}
    key, out = work / "key", work / "releases"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    signers = work / "allowed_signers"
    signers.write_text(f'release namespaces="ovms-edge-release" {key.with_suffix(".pub").read_text()}')
    (work / "registry").mkdir()
    (work / "tls").mkdir()
    costs: list[Cost] = []
    notes: list[str] = []
    with depot.run_registry(work / "registry", depot.make_tls(work / "tls")) as registry:
        at = ["--depot", registry.url, "--ca", registry.ca, "--credentials", registry.credentials]
        for base, name in bases.items():
            publish(base, name, out, key, at, ())
        for case in cases:
            publish(case.successor, case.name, out, key, at, ("--against", out / "bench" / bases[case.base]))
        with relay(int(registry.host.partition(":")[2])) as link:
            ours = OurDepot(work, registry, link, signers)
            for name in bases.values():
                costs.append(ours.stage(f"bench@{name}", f"first {name}"))
            for case in cases:
                cost = ours.stage(f"bench@{case.name}", case.name)
                costs.append(cost)
                notes += verdict(case, cost)
                if case.name == "five_percent" and peers:
                    notes.append(assembly(work, ours, case))
                ours.forget(f"bench@{case.name}")
                if peers:
                    costs.append(registry_pull(registry, link, work, changed_blobs(out, case), case.name))
        if peers:
            costs += compare(work, cases)
            notes += cpu_verdicts(cases, costs)
    return costs, notes


def compare(work: Path, cases: list[Case]) -> list[Cost]:
    """Return what rsync and casync take; both have what our client staged as their base."""
    staged = work / "node/releases/bench"
    costs = []
    with rsync_over_ssh(work) as rsync:
        for case in cases:
            costs.append(rsync(case.successor, case.base, case.name))
            shutil.rmtree(work / "rsync" / case.name)
    with casync(work) as extract:
        for case in cases:
            costs.append(extract(case.successor, staged / case.base.name, case.name))
            shutil.rmtree(work / "extracted" / case.name)
    return costs


def cpu_verdicts(cases: list[Case], costs: list[Cost]) -> list[str]:
    """Say of each case whether ours took less CPU than rsync, both ends together."""
    notes = []
    for case in cases:
        own, peer = (next(c for c in costs if (c.tool, c.case) == (tool, case.name)) for tool in COMPARED)
        ours_cpu, theirs = own.client_cpu + own.server_cpu, peer.client_cpu + peer.server_cpu
        state = "met" if ours_cpu < theirs else "MISSED"
        notes.append(f"{state}: {case.name}: CPU {ours_cpu:.2f} s, rsync over ssh {theirs:.2f} s")
    return notes


COMPARED = ("ovms-node", "rsync over ssh")


def publish(
    model: Path, version: str, out: Path, key: Path, at: list[object], extra: tuple[object, ...]
) -> None:
    """Build, sign and publish one release."""
    release = out / "bench" / version
    for words in (
        [
            "build",
            "--model",
            model,
            "--release",
            f"bench@{version}",
            "--output",
            out,
            "--residuals",
            0,
            *extra,
        ],
        ["sign", release, "--key", key],
        ["publish", release, *at],
    ):
        if edge(["release", *map(str, words)]):
            raise SystemExit(f"release {words[0]} failed")


def changed_blobs(out: Path, case: Case) -> list[str]:
    """Return the files of the successor that the base does not have."""
    old, new = (
        Manifest.from_bytes((out / "bench" / version / "manifest.json").read_bytes())
        for version in (case.base.name, case.name)
    )
    here = {file.sha256 for file in old.files}
    return [file.sha256 for file in new.files if file.sha256 not in here]


def verdict(case: Case, cost: Cost) -> list[str]:
    """Say whether bytes and memory are within the aims."""
    wire, aim = cost.down + cost.up, case.aim_bytes
    total = sum(path.stat().st_size for path in case.successor.iterdir())
    bytes_state = "met" if wire <= aim else "MISSED"
    memory_state = "met" if cost.memory <= MEMORY_AIM else "MISSED"
    return [
        f"{bytes_state}: {case.name}: {wire / 1e6:.2f} MB on the wire ({wire / total:.4f} of all), "
        f"aim {aim / 1e6:.2f} MB",
        f"{memory_state}: {case.name}: {cost.memory / 2**20:.1f} MiB of memory, aim 48 MiB",
    ]


def assembly(work: Path, ours: OurDepot, case: Case) -> str:
    """Measure on one core a stage of the base, when only a successor is there to make it from."""
    state = work / "node/releases/bench"
    base = case.base.name
    ours.forget(f"bench@{base}")
    cost = ours.stage(f"bench@{base}", "assembly", ("taskset", "-c", "0"))
    size = sum(path.stat().st_size for path in (state / base).iterdir() if path.is_file())
    speed = size / cost.client_cpu
    state_text = "met" if speed >= ASSEMBLY_AIM else "MISSED"
    return (
        f"{state_text}: {size / 1e6:.0f} MB put together on one core from {case.name}, "
        f"{cost.down / 1e6:.0f} MB of it fetched: {speed / 1e6:.0f} MB/s of CPU time, "
        f"{size / cost.wall / 1e6:.0f} MB/s wall"
    )


def table(costs: list[Cost], notes: list[str]) -> list[str]:
    """Return the lines of a Markdown table, and the notes."""
    lines = [
        "| case | tool | MB down | MB up | wall s | CPU s client | CPU s server | peak MiB | new disk MB |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    order = {name: number for number, name in enumerate(dict.fromkeys(cost.case for cost in costs))}
    for cost in sorted(costs, key=lambda cost: order[cost.case]):
        lines.append(
            f"| {cost.case} | {cost.tool} | {cost.down / 1e6:.2f} | {cost.up / 1e6:.2f} | {cost.wall:.1f} "
            f"| {cost.client_cpu:.1f} | {cost.server_cpu:.1f} | {cost.memory / 2**20:.0f} "
            f"| {cost.disk / 1e6:.0f} |"
        )
    return [*lines, "", *(f"- {note}" for note in notes)]


if __name__ == "__main__":
    sys.exit(main())
