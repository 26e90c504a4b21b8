"""Stores of a status document: those that do not go on, by reason, and those that drifted. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ovms_edge.rollout.states import StoreState

NO_REASON = "no reason given"
# The worst first. Of these FAILED alone counts as a failure.
TROUBLED = (
    StoreState.FAILED,
    StoreState.ROLLING_BACK,
    StoreState.LATE,
    StoreState.UNREACHABLE,
    StoreState.UNSUITABLE,
)
# A number that stands alone, with or without a short unit: not the one in a name such as qwen2.5-vl.
_NUMBER = re.compile(r"(?<![\w.@-])\d+(?:[.,:]\d+)*(?=[a-zA-Z%]{0,3}(?![\w-]))|\b[0-9a-f]{12,}\b")
_ANY = "*"


@dataclass(slots=True)
class Group:
    """Stores in one state for one reason. ``reason`` has a ``*`` where theirs differ."""

    state: str
    reason: str
    remedy: str | None
    stores: list[str] = field(default_factory=list)


def grouped(document: Mapping[str, Any]) -> list[Group]:
    """Return the stores that do not go on by themselves, the worst state first, large groups first."""
    groups: dict[tuple[str, str], Group] = {}
    for row in document["stores"]:
        if row["state"] not in TROUBLED:
            continue
        reason = row["reason"] or NO_REASON
        key = (row["state"], general(reason, row["store"]))
        group = groups.setdefault(key, Group(row["state"], reason, row["remedy"]))
        group.stores.append(row["store"])
        if group.reason != reason:
            group.reason = key[1]
    ranks = {state.value: rank for rank, state in enumerate(TROUBLED)}
    return sorted(groups.values(), key=lambda group: (ranks[group.state], -len(group.stores), group.reason))


def general(reason: str, store: str) -> str:
    """Return what stores with the same trouble say alike: without the store's name, and without numbers."""
    named = re.sub(rf"(?<![\w-]){re.escape(store)}(?![\w-])", _ANY, reason)
    return _NUMBER.sub(_ANY, named)


def drifted(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the stores that serve something else than the rollout left there, or found and left."""
    return [
        row
        for row in document["stores"]
        if row["expected"] and row["serving"] and row["serving"] != row["expected"]
    ]
