# SPDX-License-Identifier: Apache-2.0
"""What ``doctor.yml`` shows of the fleet. Private to this collection."""

from __future__ import annotations

from typing import Any

_HEADINGS = ("store", "severity", "check", "found")
_CRASHED = "Task failed: "


def entry_of(store: str, answer: dict[str, Any] | None) -> dict[str, Any]:
    """Return a store's entry of the report from its ``node_doctor`` result (None: it gave none)."""
    if answer is not None and "doctor" in answer:
        return {"store": store, "asked": True, **answer["doctor"]}
    if answer is None:
        reason, remedy = "not asked: it was lost earlier in this run", "see above"
    else:
        reason = str(answer.get("msg", "no answer")).removeprefix(_CRASHED).strip()
        remedy = "check its link" if answer.get("unreachable") else "see the store's task result"
    return {"store": store, "asked": False, "ok": False, "reason": reason, "remedy": remedy, "findings": []}


def doctor_table(entries: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the table, each fix below its finding; none if all stores are well."""
    rows, fixes = [], []
    for entry in entries:
        if not entry["asked"]:
            rows.append((entry["store"], "error", "-", entry["reason"]))
            fixes.append(entry["remedy"])
        for finding in entry["findings"]:
            rows.append((entry["store"], finding["severity"], finding["id"], finding["found"]))
            fixes.append(finding["fix"])
    if not rows:
        return []
    widths = [max(len(row[column]) for row in (_HEADINGS, *rows)) for column in range(len(_HEADINGS) - 1)]
    lines = [_line(_HEADINGS, widths), _line(("-" * width for width in (*widths, 5)), widths)]
    for row, fix in zip(rows, fixes, strict=True):
        lines += [_line(row, widths), f"{' ' * (widths[0] + 2)}fix: {fix}"]
    return lines


def summary(entries: list[dict[str, Any]]) -> str:
    """Return the line that counts."""
    severities = [finding["severity"] for entry in entries for finding in entry["findings"]]
    lost = sum(not entry["asked"] for entry in entries)
    well = sum(entry["ok"] for entry in entries)
    counts = [f"{severities.count('error')} errors", f"{severities.count('warning')} warnings"]
    counts += [f"{lost} not asked"] if lost else []
    return f"{well} of {len(entries)} stores have no error; {', '.join(counts)}"


def _line(cells: Any, widths: list[int]) -> str:
    *aligned, last = cells
    return "  ".join([*(cell.ljust(width) for cell, width in zip(aligned, widths, strict=True)), last])
