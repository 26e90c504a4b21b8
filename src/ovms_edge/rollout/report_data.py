"""The stores of a status document as the page's script reads them: texts once, times as seconds. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ovms_edge.rollout.groups import Group
from ovms_edge.rollout.states import StoreState
from ovms_edge.rollout.timeline import epoch

TEXTS = (
    "wave",
    "state",
    "region",
    "hardware",
    "timezone",
    "before",
    "serving",
    "expected",
    "reason",
    "remedy",
)
PLAIN = ("store", "attempts", "fetch_bytes", "stage_seconds", "activate_seconds")
COLUMNS = (*PLAIN, "since", "group", *TEXTS)


class _Texts:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str | None) -> int | None:
        return None if text is None else self._numbers.setdefault(text, len(self._numbers))

    def all(self) -> list[str]:
        return list(self._numbers)


def report_data(document: Mapping[str, Any], groups: Sequence[Group]) -> dict[str, Any]:
    """Return the rows of all stores, and how each came to be what it is.

    ``stores`` are rows of ``columns``, those of ``text_columns`` as numbers into ``texts``; ``group`` is a
    number into ``groups``. ``changes`` has for each row lists of seconds since ``started``, state before,
    state after and reason, the last three as numbers into ``texts``.
    """
    texts, started = _Texts(), epoch(document["started"])
    member = {name: number for number, group in enumerate(groups) for name in group.stores}
    changes: dict[str, list[list[float | None]]] = {row["store"]: [] for row in document["stores"]}
    for event in document["history"]:
        if event["store"] in changes:
            words = (texts.number(event[key]) for key in ("from", "to", "reason"))
            changes[event["store"]].append([round(epoch(event["at"]) - started), *words])
    return {
        "id": document["id"],
        "started": round(started),
        "waves": [wave["name"] for wave in document["waves"]],
        "states": [state.value for state in StoreState],
        "release": document["release"],
        "columns": COLUMNS,
        "text_columns": TEXTS,
        "stores": [
            [
                *(row[name] for name in PLAIN),
                round(epoch(row["since"])),
                member.get(row["store"]),
                *(texts.number(row[name]) for name in TEXTS),
            ]
            for row in document["stores"]
        ],
        "changes": list(changes.values()),
        "groups": [[group.state, group.reason] for group in groups],
        "texts": texts.all(),
    }


def as_script(data: Mapping[str, Any]) -> str:
    """Return the data as JSON that may stand inside a script element.

    Nothing in it can end the element or begin a comment there: HTML standard, "Restrictions for contents of
    script elements".
    """
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
