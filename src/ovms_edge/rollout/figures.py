"""Bytes and times of a rollout in figures. No I/O."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_PERCENTILE = 0.95

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figures:
    """What ``stores`` stores took in all, in the middle, at the 95th percentile, and at most (which).

    ``unit`` is ``bytes`` or ``seconds``.
    """

    what: str
    unit: str
    stores: int
    total: float
    median: float
    p95: float
    most: float
    most_store: str


def figures(document: Mapping[str, Any]) -> list[Figures]:
    """Return what was fetched, and how long stores took to stage and to activate, where any did.

    What is fetched of a store that has not staged is what its plan says, and stands apart.
    """
    rows = document["stores"]
    asked: tuple[tuple[str, str, str, Callable[[Row], bool]], ...] = (
        ("fetched", "bytes", "fetch_bytes", _staged),
        ("still to fetch, as planned", "bytes", "fetch_bytes", lambda row: not _staged(row)),
        ("staging", "seconds", "stage_seconds", _staged),
        ("activation", "seconds", "activate_seconds", lambda _: True),
    )
    return [found for one in asked for found in _figures(rows, *one)]


def _staged(row: Row) -> bool:
    return row["stage_seconds"] is not None


def _figures(
    rows: list[Row], what: str, unit: str, key: str, chosen: Callable[[Row], bool]
) -> Iterator[Figures]:
    known = sorted((row[key], row["store"]) for row in rows if row[key] is not None and chosen(row))
    if not known:
        return
    values = [value for value, _ in known]
    most, store = known[-1]
    p95 = values[math.ceil(_PERCENTILE * len(values)) - 1]
    yield Figures(what, unit, len(values), sum(values), statistics.median(values), p95, most, store)
