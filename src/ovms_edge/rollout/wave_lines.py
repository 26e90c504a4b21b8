"""The waves of a status document as a table of a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ovms_edge.rollout.amounts import duration_text
from ovms_edge.rollout.screen import Line, Part, Style, aligned, line
from ovms_edge.rollout.states import StoreState, WaveState
from ovms_edge.rollout.store_lines import STYLES
from ovms_edge.rollout.words import many, state_text


def wave_note(wave: Mapping[str, Any]) -> str:
    """Return what a wave waits for, or how far its soak is."""
    if wave["waits_for"]:
        return f"waits for {wave['waits_for']}"
    if wave["state"] == WaveState.SOAKING:
        soaked, soak = duration_text(wave["soaked_seconds"]), duration_text(wave["soak_seconds"])
        return f"soaked {soaked} of {soak}"
    return ""


def wave_table(document: Mapping[str, Any], width: int) -> list[Line]:
    """Return a column for each state that a store is in; where that is too wide, the states as words."""
    waves = document["waves"]
    states = [state for state in StoreState if any(wave["counts"].get(state) for wave in waves)]
    heads = [Part(name, Style.FAINT) for name in ("wave", "state", "stores")]
    rows = [[*heads, *(Part(state_text(state), Style.FAINT) for state in states), Part("")]]
    for wave in waves:
        counts = [wave["counts"].get(state, 0) for state in states]
        cells = [
            Part(str(count), STYLES.get(state, Style.PLAIN)) if count else Part(".", Style.FAINT)
            for state, count in zip(states, counts, strict=True)
        ]
        rows.append([*_cells(wave), *cells, Part(wave_note(wave))])
    table = aligned(rows, range(2, len(states) + 3))
    without_note = max(sum(len(part.text) for part in row[:-2]) for row in table)
    return table if without_note <= width else _narrow_table(document)


def wave_window(document: Mapping[str, Any], table: list[Line], limit: int) -> list[Line]:
    """Return the table's head and the waves around the first that is not done."""
    head, rows = table[0], table[1:]
    size = max(1, limit - 4)  # beside them: an empty line, the head, what is before, what is after
    states = [wave["state"] for wave in document["waves"]]
    current = next((number for number, state in enumerate(states) if state != WaveState.DONE), len(rows))
    first = max(0, min(current - 1, len(rows) - size))
    after = len(rows) - first - size
    before = [line(Part(f"{many(first, 'wave')} before", Style.FAINT))] if first else []
    return [
        head,
        *before,
        *rows[first : first + size],
        *([line(Part(f"{many(after, 'wave')} after", Style.FAINT))] if after > 0 else []),
    ]


def _cells(wave: Mapping[str, Any]) -> list[Part]:
    style = Style.BUSY if wave["state"] in (WaveState.RUNNING, WaveState.SOAKING) else Style.PLAIN
    return [Part(wave["name"]), Part(wave["state"], style), Part(str(wave["stores"]))]


def _narrow_table(document: Mapping[str, Any]) -> list[Line]:
    rows = [[*(Part(name, Style.FAINT) for name in ("wave", "state", "stores")), Part("")]]
    for wave in document["waves"]:
        counts = [f"{count} {state_text(state)}" for state, count in wave["counts"].items()]
        note = wave_note(wave)
        rows.append([*_cells(wave), Part(", ".join([*counts, *([note] if note else [])]))])
    return aligned(rows, (2,))
