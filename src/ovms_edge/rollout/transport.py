"""What an engine asks of stores, and what comes back: the one thing that a simulator exchanges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What a store is told. It may be told again: one that has done it says so and does nothing."""

    STAGE = "stage"
    ACTIVATE = "activate"
    VERIFY = "verify"  # reads only
    BACK = "back"  # serve what was served before the release, if that is what serves


class Outcome(StrEnum):
    """BUSY: something else changes the store just now, so that nothing is known and nothing was done."""

    OK = "ok"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Order:
    """Tell ``stores`` one thing. ``retry``: what their gate refused before, too."""

    kind: Kind
    stores: tuple[str, ...]
    release: str
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """One store's answer. ``serving`` is the release that it serves now, None where that is not known."""

    store: str
    kind: Kind
    outcome: Outcome
    reason: str | None = None
    remedy: str | None = None
    serving: str | None = None
    before: str | None = None
    seconds: float | None = None
    fetch_bytes: int | None = None


class Transport(Protocol):
    """Carries orders to stores. Every store of an order answers once, in any order, however it went."""

    def send(self, orders: Sequence[Order]) -> None:
        """Begin; returns at once."""

    def results(self, seconds: float) -> list[Result]:
        """Return what came in; waits at most ``seconds`` for the first."""

    def close(self) -> None:
        """End what still runs on the controller; stores finish by themselves what they were told."""


class Clock(Protocol):
    """Two clocks: durations never come from the one that a person or NTP may set."""

    def utc(self) -> datetime:
        """Return the time of day; it may jump."""

    def seconds(self) -> float:
        """Return seconds that only go forward, from any beginning."""
