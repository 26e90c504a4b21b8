"""Stores of a status document as lines of a terminal: those that do not go on, those that drifted, or all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ovms_edge.rollout.groups import drifted, grouped
from ovms_edge.rollout.screen import Line, Part, Style, aligned, line
from ovms_edge.rollout.states import StoreState
from ovms_edge.rollout.words import first_of, many, seconds_text, state_text

_GROUP_STORES = 6
_DRIFTED_STORES = 10
STYLES = {
    StoreState.SERVING: Style.GOOD,
    StoreState.FAILED: Style.BAD,
    StoreState.LATE: Style.UNSURE,
    StoreState.UNREACHABLE: Style.UNSURE,
    StoreState.ROLLING_BACK: Style.UNSURE,
    StoreState.STAGING: Style.BUSY,
    StoreState.STAGED: Style.BUSY,
    StoreState.ACTIVATING: Style.BUSY,
    StoreState.UNSUITABLE: Style.FAINT,
    StoreState.PENDING: Style.FAINT,
}


def group_lines(document: Mapping[str, Any]) -> list[Line]:
    """Return the stores that do not go on, by reason."""
    shown: list[Line] = []
    for group in grouped(document):
        style = STYLES.get(StoreState(group.state), Style.PLAIN)
        title = Part(f"{many(len(group.stores), 'store')} {state_text(group.state)}", style)
        shown += [
            line(title, f": {group.reason}"),
            line(f"  {first_of(group.stores, _GROUP_STORES)}"),
            *([line(Part(f"  remedy: {group.remedy}", Style.FAINT))] if group.remedy else []),
        ]
    return shown


def drift_lines(document: Mapping[str, Any]) -> list[Line]:
    """Return the stores that serve something else than the rollout says."""
    rows = drifted(document)
    if not rows:
        return []
    title = f"{many(len(rows), 'store')} not serving what this rollout left there"
    heads = [Part(name, Style.FAINT) for name in ("  store", "wave", "serves", "expected")]
    table = [
        [Part(f"  {row['store']}"), Part(row["wave"] or "-"), Part(row["serving"]), Part(row["expected"])]
        for row in rows[:_DRIFTED_STORES]
    ]
    more = len(rows) - len(table)
    return [
        line(Part(title, Style.UNSURE)),
        *aligned([heads, *table]),
        *([line(Part(f"  and {more:,} more", Style.FAINT))] if more else []),
    ]


def store_table(stores: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Return one line for each store."""
    heads = ("store", "wave", "state", "since", "serves", "staged in", "activated in")
    rows = [[Part(head, Style.FAINT) for head in heads]]
    for row in stores:
        times = [row["stage_seconds"], row["activate_seconds"]]
        rows.append(
            [
                Part(row["store"]),
                Part(row["wave"] or "-"),
                Part(state_text(row["state"]), STYLES.get(StoreState(row["state"]), Style.PLAIN)),
                Part(row["since"]),
                Part(row["serving"] or "-"),
                *(Part("-" if seconds is None else seconds_text(seconds)) for seconds in times),
            ]
        )
    return aligned(rows, (5, 6))
