"""A status document as lines for a terminal: how far, the waves, what does not go on, what drifted."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ovms_edge.rollout.amounts import duration_text
from ovms_edge.rollout.changes import change_lines
from ovms_edge.rollout.groups import drifted, grouped
from ovms_edge.rollout.screen import Line, Part, Style, aligned, line, rendered
from ovms_edge.rollout.states import RolloutState, StoreState, WaveState
from ovms_edge.rollout.words import first_of, many, seconds_text, state_text

_BAR_WIDTH = 50
_GROUP_STORES = 6
_DRIFTED_STORES = 10
_RECENT = 8
# A fleet that small is shown store by store.
_EACH_STORE = 30
# Below this many lines a section is not worth being shown.
_LEAST = 3
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
    parts = [_wave_table(document, sys.maxsize), _groups(document), _drift(document)]
    if len(document["stores"]) <= _EACH_STORE:
        parts.insert(1, _store_table(document["stores"]))
    for part in parts:
        shown += [line(), *part] if part else []
    return "\n".join(rendered(each, sys.maxsize, False) for each in shown)


def wave_note(wave: Mapping[str, Any]) -> str:
    """Return what a wave waits for, or how far its soak is."""
    if wave["waits_for"]:
        return f"waits for {wave['waits_for']}"
    if wave["state"] == WaveState.SOAKING:
        soaked, soak = duration_text(wave["soaked_seconds"]), duration_text(wave["soak_seconds"])
        return f"soaked {soaked} of {soak}"
    return ""


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
    waves, groups, drift = _wave_table(document, width), _groups(document), _drift(document)
    changes = change_lines(document, document["history"][-_RECENT:])
    recent = [line(Part(text, Style.FAINT)) for text in changes]
    if height is None:
        return [part for part in (waves, groups, drift) if part]
    kept: list[list[Line]] = []
    left = height
    if len(waves) + 1 > left // 2:
        waves = _wave_window(document, waves, left // 2)
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


def _wave_window(document: Mapping[str, Any], table: list[Line], limit: int) -> list[Line]:
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


def _wave_table(document: Mapping[str, Any], width: int) -> list[Line]:
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
        rows.append([*_wave_cells(wave), *cells, Part(wave_note(wave))])
    table = aligned(rows, range(2, len(states) + 3))
    without_note = max(sum(len(part.text) for part in row[:-2]) for row in table)
    return table if without_note <= width else _narrow_wave_table(document)


def _wave_cells(wave: Mapping[str, Any]) -> list[Part]:
    style = Style.BUSY if wave["state"] in (WaveState.RUNNING, WaveState.SOAKING) else Style.PLAIN
    return [Part(wave["name"]), Part(wave["state"], style), Part(str(wave["stores"]))]


def _narrow_wave_table(document: Mapping[str, Any]) -> list[Line]:
    rows = [[*(Part(name, Style.FAINT) for name in ("wave", "state", "stores")), Part("")]]
    for wave in document["waves"]:
        counts = [f"{count} {state_text(state)}" for state, count in wave["counts"].items()]
        note = wave_note(wave)
        rows.append([*_wave_cells(wave), Part(", ".join([*counts, *([note] if note else [])]))])
    return aligned(rows, (2,))


def _groups(document: Mapping[str, Any]) -> list[Line]:
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


def _drift(document: Mapping[str, Any]) -> list[Line]:
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


def _store_table(stores: Sequence[Mapping[str, Any]]) -> list[Line]:
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
