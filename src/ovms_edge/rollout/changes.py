"""Changes of a status document's history as lines: one for each, for logs and for a terminal's last lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ovms_edge.rollout.states import StoreState
from ovms_edge.rollout.words import one_line, seconds_text, state_text

_TOOK = {
    (StoreState.STAGING, StoreState.STAGED): "stage_seconds",
    (StoreState.STAGING, StoreState.FAILED): "stage_seconds",
    (StoreState.ACTIVATING, StoreState.SERVING): "activate_seconds",
    (StoreState.ACTIVATING, StoreState.FAILED): "activate_seconds",
}


def change_lines(document: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return ``07:12:03 canary store-001 staged -> serving 9.9 s`` for each event; times are UTC."""
    wanted = {event["store"] for event in events}
    rows = {row["store"]: row for row in document["stores"] if row["store"] in wanted}
    return [one_line(_line(event, rows.get(event["store"], {}))) for event in events]


def day(event: Mapping[str, Any]) -> str:
    """Return the day of an event, in UTC."""
    return str(event["at"])[:10]


def clock(at: str) -> str:
    """Return the time of day of an RFC 3339 time."""
    return at[11:19]


def _line(event: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    old, new, reason = event["from"], event["to"], event["reason"]
    if event["store"]:
        who = f"{event['wave'] or '-'} {event['store']}"
    else:
        who = f"wave {event['wave']}" if event["wave"] else "rollout"
    if old == new:  # a command
        return f"{clock(event['at'])} {reason or new}"
    took = row.get(_TOOK.get((old, new), ""))
    seconds = "" if took is None else f" {seconds_text(took)}"
    why = f": {reason}" if reason else ""
    return f"{clock(event['at'])} {who} {state_text(old)} -> {state_text(new)}{seconds}{why}"
