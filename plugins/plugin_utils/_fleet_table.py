# SPDX-License-Identifier: Apache-2.0
"""What ``verify_fleet.yml`` shows of the fleet. Private to this collection."""

from __future__ import annotations

from typing import Any

_HEADINGS = ("store", "release", "state", "device", "cache_size", "first token", "total", "restarts")
_REPORTED = (
    *("ok", "release", "servable", "state", "device", "cache_size", "first_token_seconds"),
    *("total_seconds", "restarts", "image", "checks", "reason", "remedy"),
)
_NUMBERS_FROM = _HEADINGS.index("cache_size")


def row_of(store: str, answer: dict[str, Any] | None, planned: str | None = None) -> dict[str, Any]:
    """Return a store's line of the report from its ``node_verify`` result (None: it gave none).

    ``planned`` is the release that the inventory has for the store; it is in the line if another one serves.
    """
    if answer is None:
        row = {"reason": "not asked: it failed or was lost earlier in this run", "remedy": "see above"}
    elif answer.get("unreachable"):
        reason = str(answer.get("msg", "no answer from the host")).removeprefix("Task failed: ")
        row = {"state": "UNREACHABLE", "reason": reason, "remedy": "check its link"}
    elif "ok" in answer:
        row = {key: answer[key] for key in _REPORTED if key in answer}
    else:
        row = {"reason": str(answer.get("msg", "no answer")), "remedy": "see the store's task result"}
    serving = row.get("release")
    other = {"planned": planned} if planned and serving and serving != planned else {}
    return {"store": store, "ok": False, **row, **other}


def fleet_table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the table and, below it, what is wrong with a store, or not as planned."""
    cells = [_HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    wrong = [f"{row['store']}: {row['reason']}; {row['remedy']}" for row in rows if not row["ok"]]
    other = [
        f"{row['store']}: serves {row['release']}, planned is {row['planned']}; "
        "plan what it serves, or run site.yml on it"
        for row in rows
        if "planned" in row
    ]
    return [*lines, *([""] if wrong or other else []), *wrong, *other]


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    aligned = (
        cell.rjust(width) if column >= _NUMBERS_FROM else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(aligned).rstrip()


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    state = _text(row.get("state"))
    return (
        row["store"],
        _text(row.get("release")),
        state if row["ok"] or state == "UNREACHABLE" else f"{state} FAILED".strip("- "),
        _text(row.get("device")),
        _text(row.get("cache_size"), " GiB"),
        _seconds(row.get("first_token_seconds")),
        _seconds(row.get("total_seconds")),
        _text(row.get("restarts")),
    )


def _text(value: Any, unit: str = "") -> str:
    return "-" if value is None else f"{value}{unit}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
