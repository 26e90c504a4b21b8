"""A status document as lines for a terminal: how far, the waves, what does not go on, what drifted."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ovms_edge.rollout.amounts import duration_text
from ovms_edge.rollout.changes import change_lines
from ovms_edge.rollout.screen import Line, Part, Style, line, rendered
from ovms_edge.rollout.states import RolloutState, StoreState, WaveState
from ovms_edge.rollout.store_lines import drift_lines, group_lines, store_table
from ovms_edge.rollout.wave_lines import wave_table, wave_window
from ovms_edge.rollout.words import many, state_text

_BAR_WIDTH = 50
_RECENT = 8
# A fleet that small is shown store by store.
_EACH_STORE = 30
# Below this many lines a section is not worth being shown.
_LEAST = 3
_SEGMENTS = (
    ("#", Style.GOOD, (StoreState.SERVING,)),
    ("!", Style.BAD, (StoreState.FAILED,)),
    ("?", Style.UNSURE, (StoreState.LATE, StoreState.UNREACHABLE)),
    ("<", Style.UNSURE, (StoreState.ROLLING_BACK, StoreState.ROLLED_BACK)),
    ("+", Style.BUSY, (StoreState.STAGING, StoreState.STAGED, StoreState.ACTIVATING)),
)


def lines(document: Mapping[str, Any], width: int, colour: bool, height: int | None = None) -> list[str]:
    """Return the rollout as it is, no line wider than ``width``, and no more lines than ``height``."""
    shown = _head(document)
    for section in _sections(document, width, None if height is None else height - len(shown)):
        shown += [line(), *section]
    return [rendered(each, width, colour) for each in shown[:height]]


def summary(document: Mapping[str, Any]) -> str:
    """Return all that is to be known of the rollout at a glance, as plain text; of a small one each store."""
    shown = _head(document)
    parts = [wave_table(document, sys.maxsize), group_lines(document), drift_lines(document)]
    if len(document["stores"]) <= _EACH_STORE:
        parts.insert(1, store_table(document["stores"]))
    for part in parts:
        shown += [line(), *part] if part else []
    return "\n".join(rendered(each, sys.maxsize, False) for each in shown)


def hints(document: Mapping[str, Any]) -> list[str]:
    """Return why a rollout does not go on, and what its operator may do."""
    name, state = document["id"], document["state"]
    found = [f"{state_text(state)}: {document['reason']}"] if document["reason"] else []
    if state == RolloutState.PAUSED:
        found.append(f"to go on: ovms-edge rollout retry {name}, resume {name} --forgive, or rollback {name}")
    elif not document["ended"] and not document["controller"]:
        found.append(f"no engine runs: ovms-edge rollout resume {name}")
    held = [wave["name"] for wave in document["waves"] if wave["state"] == WaveState.HELD]
    if held and not document["ended"]:
        found.append(f"waits for: ovms-edge rollout approve {name} {' '.join(held)}")
    return found


def _sections(document: Mapping[str, Any], width: int, height: int | None) -> list[list[Line]]:
    """Return the sections that fit, the more important ones whole; each has an empty line before it."""
    waves, groups, drift = wave_table(document, width), group_lines(document), drift_lines(document)
    changes = change_lines(document, document["history"][-_RECENT:])
    recent = [line(Part(text, Style.FAINT)) for text in changes]
    if height is None:
        return [part for part in (waves, groups, drift) if part]
    kept: list[list[Line]] = []
    left = height
    if len(waves) + 1 > left // 2:
        waves = wave_window(document, waves, left // 2)
    for part in (waves, groups, drift):
        if part and left > _LEAST:
            kept.append(_no_more_than(part, left - 1))
            left -= len(kept[-1]) + 1
    if recent and left > _LEAST:
        kept.append(recent[-(left - 1) :])
    return kept


def _no_more_than(part: list[Line], limit: int) -> list[Line]:
    if len(part) <= limit:
        return part
    return [*part[: limit - 1], line(Part(f"and {many(len(part) - limit + 1, 'line')} more", Style.FAINT))]


def _head(document: Mapping[str, Any]) -> list[Line]:
    total = sum(wave["stores"] for wave in document["waves"])
    serving = document["counts"].get(StoreState.SERVING, 0)
    return [
        line(
            Part(document["id"], Style.STRONG),
            f"  {document['release']}  ",
            Part(state_text(document["state"]), _rollout_style(document["state"])),
        ),
        line(*_bar(document["counts"], total), f"  {serving:,} of {many(total, 'store')} serving"),
        line(_times(document)),
        line("budget  ", *_budget(document["budget"])),
        *(line(Part(hint, Style.UNSURE)) for hint in hints(document)),
    ]


def _rollout_style(state: str) -> Style:
    if state == RolloutState.DONE:
        return Style.GOOD
    return Style.BUSY if state == RolloutState.RUNNING else Style.UNSURE


def _bar(counts: Mapping[str, int], total: int) -> list[Part]:
    """Return the stores as a bar; any state that has a store has a character."""
    parts, left = [Part("[")], _BAR_WIDTH
    for char, style, states in _SEGMENTS:
        number = sum(counts.get(state, 0) for state in states)
        size = min(left, max(1, number * _BAR_WIDTH // total)) if number and total else 0
        parts.append(Part(char * size, style))
        left -= size
    return [*parts, Part("." * left, Style.FAINT), Part("]")]


def _times(document: Mapping[str, Any]) -> str:
    said = f"{duration_text(document['elapsed_seconds'])} elapsed"
    if document["ended"]:
        return f"{said}, ended {document['ended']}"
    pace, left = document["rates"]["stores_per_hour"], document["rates"]["seconds_left"]
    if pace is None or left is None:
        return said
    return f"{said}, {duration_text(left)} left at {pace:,.1f} stores/h (soaks and windows not counted)"


def _budget(budget: Mapping[str, Mapping[str, int]]) -> list[Part]:
    parts: list[Part] = []
    for what, use in budget.items():
        breached = use["used"] > use["limit"]
        style = Style.BAD if breached else Style.PLAIN
        parts += [Part(", " if parts else ""), Part(f"{use['used']} {what} of {use['limit']} allowed", style)]
    return parts
