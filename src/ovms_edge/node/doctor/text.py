"""What a person reads of a diagnosis, and of the table of checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ovms_edge.node.doctor.findings import Check

HEAD = ("check", "severity", "looks at")


def diagnosis_text(document: dict[str, Any]) -> str:
    """Return the findings as a table, each fix on a line below, and a line that counts."""
    findings, skipped = document["findings"], document["skipped"]
    rows = [(entry["severity"], entry["id"], entry["found"]) for entry in findings]
    lines = []
    for row, entry in zip(_aligned(rows), findings, strict=True):
        lines += [row, f"  expected  {entry['expected']}", f"  fix       {entry['fix']}"]
    waiting = [entry for entry in skipped if entry["waits_for"]]
    counts = [f"{document['passed']} checks passed", _count(len(findings))]
    if waiting:
        counts.append(f"{len(waiting)} wait for these")
    if len(skipped) > len(waiting):
        counts.append(f"{len(skipped) - len(waiting)} not to be made here")
    return "\n".join([*lines, ", ".join(counts)])


def list_text(document: dict[str, Any]) -> str:
    """Return the table of checks."""
    rows = [HEAD, *((entry["id"], entry["severity"], entry["looks_at"]) for entry in document["checks"])]
    return "\n".join(_aligned(rows))


def markdown_table(checks: Sequence[Check]) -> str:
    """Return the table of checks for docs/doctor.md."""
    rows = [HEAD, ("---",) * len(HEAD), *((f"`{c.id}`", c.severity, c.looks_at) for c in checks)]
    return "\n".join(f"| {' | '.join(row)} |".replace("| --- | --- | --- |", "|---|---|---|") for row in rows)


def _aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    every = list(rows)
    widths = [
        max((len(row[column]) for row in every), default=0) for column in range(len(every[0]) if every else 0)
    ]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    ]


def _count(findings: int) -> str:
    return {0: "no finding", 1: "1 finding"}.get(findings, f"{findings} findings")
