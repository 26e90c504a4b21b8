"""A plan: who is moved when, by what rules, in numbers. The same inputs make the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.rollout.calendar import Calendar
from ovms_edge.rollout.stores import Store

SCHEMA = "ovms-edge.rollout-plan/1"
_ID_DIGITS = 8
_AS_THEY_ARE = (  # what stands in the document as it does here
    *("id", "name", "release", "staging", "on_breach", "late_after_seconds", "retry_every_seconds"),
    *("open_for_seconds", "failed_limit", "late_limit"),
)
_WAVE_AS_IT_IS = (
    *("name", "soak_seconds", "approval", "min_serving", "concurrency", "failed_limit", "late_limit"),
)


@dataclass(frozen=True, slots=True)
class PlannedWave:
    """``stores`` in the order in which they are moved, at most ``concurrency`` at once.

    More than ``failed_limit`` or ``late_limit`` of them stop the rollout; fewer than ``min_serving`` keep the
    next wave from beginning.
    """

    name: str
    stores: tuple[str, ...]
    soak_seconds: float
    approval: bool
    min_serving: int
    concurrency: int
    failed_limit: int
    late_limit: int
    calendar: Calendar

    @property
    def document(self) -> dict[str, Any]:
        """Return what stands in a plan."""
        as_it_is = {key: getattr(self, key) for key in _WAVE_AS_IT_IS}
        return {**as_it_is, "stores": list(self.stores), "calendar": self.calendar.document}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> PlannedWave:
        """Return what ``document`` was made of."""
        return cls(
            **{key: document[key] for key in _WAVE_AS_IT_IS},
            stores=tuple(document["stores"]),
            calendar=Calendar.from_document(document["calendar"]),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """``stores`` holds all that take part, ``unsuitable`` (name to reason) those that are in no wave.

    ``fetch_bytes`` and ``before`` (the release that a store served) are of the stores that a survey asked.
    All maps are sorted by store.
    """

    id: str
    name: str
    release: str
    staging: str
    on_breach: str
    late_after_seconds: float
    retry_every_seconds: float
    open_for_seconds: float
    failed_limit: int
    late_limit: int
    waves: tuple[PlannedWave, ...]
    stores: Mapping[str, Store]
    unsuitable: Mapping[str, str]
    fetch_bytes: Mapping[str, int]
    before: Mapping[str, str]

    @property
    def document(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {
            "schema": SCHEMA,
            **{key: getattr(self, key) for key in _AS_THEY_ARE},
            "waves": [wave.document for wave in self.waves],
            "stores": {name: _store_document(store) for name, store in self.stores.items()},
            "unsuitable": dict(self.unsuitable),
            "fetch_bytes": dict(self.fetch_bytes),
            "before": dict(self.before),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Plan:
        """Return what ``document`` was made of."""
        return cls(
            **{key: document[key] for key in _AS_THEY_ARE},
            waves=tuple(map(PlannedWave.from_document, document["waves"])),
            stores={name: _store(name, said) for name, said in document["stores"].items()},
            unsuitable=document["unsuitable"],
            fetch_bytes=document["fetch_bytes"],
            before=document["before"],
        )

    def to_bytes(self) -> bytes:
        """Return canonical JSON."""
        return json.dumps(self.document, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    def identified(self) -> Plan:
        """Return the plan with its id: its name, and digits of the digest of all else."""
        digest = hashlib.sha256(replace(self, id="").to_bytes()).hexdigest()
        return replace(self, id=f"{self.name}-{digest[:_ID_DIGITS]}")


def read_plan(path: Path) -> Plan:
    """Return the plan in a file; raises EdgeError if there is none, or it is not as it was made."""
    try:
        document = json.loads(path.read_bytes())
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise EdgeError(f"{path} is no plan of this version ({SCHEMA})", _MAKE)
        plan = Plan.from_document(document)
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", _MAKE) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EdgeError(f"{path} is no plan: {error!r:.100}", _MAKE) from error
    if plan.identified().id != plan.id:
        raise EdgeError(f"{path} was changed after it was made: its content is not that of {plan.id}", _MAKE)
    return plan


_MAKE = "make it with ovms-edge rollout plan FILE --output PLAN.json"


def _store_document(store: Store) -> dict[str, Any]:
    return {
        "region": store.region,
        "timezone": store.timezone,
        "hardware": store.hardware,
        "tags": sorted(set(store.tags)),
    }


def _store(name: str, said: Mapping[str, Any]) -> Store:
    return Store(name, said["region"], said["timezone"], said["hardware"], tuple(said["tags"]))
