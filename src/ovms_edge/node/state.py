"""What is active, what was before and what is on its way: ``state.json`` and ``journal.jsonl``."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.golden import Times
from ovms_edge.node.files import naming, write_atomic
from ovms_edge.node.output import utc_now
from ovms_edge.node.run import run_id
from ovms_edge.node.slots import Slot

SCHEMA = 2
FAILURES_KEPT = 20


@dataclass(frozen=True)
class Deployment:
    """One release as served: settings are the server settings document it was activated with.

    ``summary`` is what a person compares before and after; ``devices`` are those that OVMS named in its log
    at ``container_started`` (the log may be rotated away later). ``times``: how long each question of
    the last good gate took, by its key.
    """

    release: str
    servable: str
    settings: dict[str, Any]
    spec: str
    generation: str
    since: str
    summary: dict[str, Any]
    slot: Slot
    devices: tuple[str, ...] = ()
    container_started: str = ""
    times: dict[str, Times] = field(default_factory=dict)

    def times_on(self, device: str) -> dict[str, Times]:
        """Return the times as a measure for ``device``: none for another one than they were taken on."""
        return self.times if self.settings.get("device") == device else {}


@dataclass(frozen=True)
class Pending:
    """An activation that was begun: its spec is not trusted before the gate has passed."""

    release: str
    spec: str
    generation: str
    started: str
    slot: Slot


@dataclass(frozen=True)
class Failure:
    """A container that did not pass the gate here: the same is not tried again unless asked for."""

    spec: str
    release: str
    reason: str
    at: str


@dataclass(frozen=True)
class State:
    """Everything that ``activate`` must know after a power cut."""

    active: Deployment | None = None
    previous: Deployment | None = None
    pending: Pending | None = None
    failed: tuple[Failure, ...] = ()
    schema: int = field(default=SCHEMA)

    @property
    def generations(self) -> set[str]:
        """The directories that containers see now, or may see again."""
        return {kept.generation for kept in (self.active, self.previous, self.pending) if kept}

    def failure_of(self, spec: str) -> Failure | None:
        """Return how ``spec`` failed here; None if it did not."""
        return next((failure for failure in self.failed if failure.spec == spec), None)

    def with_failure(self, failure: Failure) -> State:
        """Return this state with no activation under way and ``failure`` remembered, the oldest forgotten."""
        others = tuple(known for known in self.failed if known.spec != failure.spec)
        return replace(self, pending=None, failed=(*others, failure)[-FAILURES_KEPT:])

    def with_active(self, active: Deployment) -> State:
        """Return the state once ``active`` was gated.

        Another one that it replaces is ``previous`` then; the same goes on as what it was, ``since`` when.
        """
        before = self.active
        same = before is not None and before.spec == active.spec
        return State(
            active=replace(active, since=before.since) if same and before else active,
            previous=self.previous if same else before,
            failed=tuple(known for known in self.failed if known.spec != active.spec),
        )


def load_state(path: Path) -> State:
    """Read ``state.json``; a missing file is an empty state. Raises EdgeError if it is not readable."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return State()
    except PermissionError as error:
        raise EdgeError(f"{path} is not readable by this user", "run ovms-node as root") from error
    except ValueError as error:
        raise _damaged(path, error) from error
    try:
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']!r}, this version reads {SCHEMA}")
        pending = document["pending"]
        return State(
            active=_deployment(document["active"]),
            previous=_deployment(document["previous"]),
            pending=Pending(**pending) if pending else None,
            failed=tuple(Failure(**entry) for entry in document["failed"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def save_state(path: Path, state: State) -> None:
    """Replace ``state.json``, durably."""
    write_atomic(path, (json.dumps(asdict(state), indent=1) + "\n").encode(), 0o600)


def record(journal: Path, event: str, **details: object) -> None:
    """Append one line to the journal, durably."""
    line = json.dumps({"time": utc_now(), "event": event, "run": run_id(), **details}) + "\n"
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with naming(journal):
            os.write(descriptor, line.encode())
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _deployment(document: dict[str, Any] | None) -> Deployment | None:
    if document is None:
        return None
    times = {key: Times(**entry) for key, entry in document.get("times", {}).items()}
    return Deployment(**{**document, "devices": tuple(document["devices"]), "times": times})


def _damaged(path: Path, error: Exception) -> EdgeError:
    return EdgeError(
        f"{path} is damaged: {error}",
        "move it away and activate the release again; ovms-node then makes a new container",
    )
