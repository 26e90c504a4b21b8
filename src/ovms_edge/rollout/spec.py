"""``rollout.yml``: what an operator wants of a rollout, before it meets a fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ovms_edge.rollout.amounts import Amount, Budget
from ovms_edge.rollout.calendar import Calendar

GROUPINGS = ("region", "hardware")  # what of a store ``at_most`` may count by
_NO_STORES = Amount(0)
_ALWAYS = Calendar()
_BUDGET = Budget(failed=Amount(2, percent=True), late=Amount(10, percent=True))


@dataclass(frozen=True, slots=True)
class WaveSpec:
    """One entry of ``waves``.

    ``stores`` is a pattern, None: any of the rollout's. ``size`` None: all that are left. ``at_most``: by
    grouping. ``place`` says where it stands, for errors.
    """

    name: str
    calendar: Calendar
    budget: Budget
    concurrency: int
    stores: str | None = None
    tags: frozenset[str] = frozenset()
    size: Amount | None = None
    at_most: Mapping[str, int] = field(default_factory=dict)
    repeat: bool = False
    soak_seconds: float = 0.0
    approval: bool = False
    min_serving: Amount = _NO_STORES
    place: str = ""


@dataclass(frozen=True)
class Spec:
    """A whole ``rollout.yml``; durations in seconds, ``stores`` an Ansible pattern."""

    release: str
    name: str
    waves: tuple[WaveSpec, ...]
    stores: str = "stores"
    staging: str = "ahead"
    on_breach: str = "pause"
    late_after_seconds: float = 4 * 3600.0
    retry_every_seconds: float = 900.0
    open_for_seconds: float = 14 * 86400.0
    budget: Budget = _BUDGET
    concurrency: int = 50
    calendar: Calendar = _ALWAYS
