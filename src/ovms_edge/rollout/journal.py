"""The journal: what survives the controller. SQLite in WAL mode, each change of state one transaction.

https://sqlite.org/wal.html. ``synchronous = FULL`` makes a commit durable before it returns, so that no store
is told what the journal does not know.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.rollout.board import Change
from ovms_edge.rollout.command import CLOSED, Command
from ovms_edge.rollout.course import Course, WaveCourse
from ovms_edge.rollout.plan import Plan
from ovms_edge.rollout.progress import Progress
from ovms_edge.rollout.states import RolloutState, StoreState, WaveState
from ovms_edge.rollout.transport import Kind

SCHEMA = 1
_BUSY_SECONDS = 30.0
_ADD_HISTORY = "INSERT INTO history (rollout, at, store, wave, old, new, reason) VALUES (?, ?, ?, ?, ?, ?, ?)"
_SPACE = "free space there and call `ovms-edge rollout resume`"


@dataclass(frozen=True, slots=True)
class Listed:
    """One rollout of the journal, in short. Times are UTC, RFC 3339."""

    id: str
    state: RolloutState
    reason: str | None
    started: str
    updated: str
    ended: str | None

    @property
    def open(self) -> bool:
        """Whether an engine still has something to do for it."""
        return self.ended is None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the history; ``store`` None: of the wave; ``wave`` None: of the rollout."""

    at: str
    store: str | None
    wave: int | None
    old: str
    new: str
    reason: str | None


class Journal:
    """One file. Any process may read and leave commands; one engine writes, see ``controller.py``."""

    def __init__(self, path: Path | str, durable: bool = True) -> None:
        self.path = path
        with _explained(path):
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
            self._prepare()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside stands, or nothing of it. Raises EdgeError for what the disk refuses."""
        with _explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.commit()
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def commit(self) -> None:
        """End the transaction."""
        self._db.execute("COMMIT")

    def create(self, plan: Plan, inventory: str, stores: Iterable[Progress], now: datetime) -> None:
        """Enter a rollout that has not begun; raises EdgeError if it is there already."""
        at = _text(now)
        with self.transaction():
            if self._db.execute("SELECT 1 FROM rollouts WHERE id = ?", (plan.id,)).fetchone():
                raise EdgeError(
                    f"rollout {plan.id} is in {self.path} already", f"call ovms-edge rollout resume {plan.id}"
                )
            self._db.execute(
                "INSERT INTO rollouts VALUES (?, ?, ?, ?, NULL, 0, 0, NULL, ?, ?, NULL)",
                (plan.id, plan.to_bytes(), inventory, RolloutState.RUNNING.value, at, at),
            )
            self._db.executemany(
                "INSERT INTO waves VALUES (?, ?, ?, NULL, NULL)",
                ((plan.id, number, _row(WaveCourse())) for number in range(len(plan.waves))),
            )
            self._db.executemany(
                "INSERT INTO stores VALUES (?, ?, ?, ?)",
                ((plan.id, store.store, at, _row(store)) for store in stores),
            )

    def save(
        self, rollout: str, course: Course, stores: Iterable[tuple[Progress, Change]], now: datetime
    ) -> None:
        """Write the rollout and the stores that changed, inside a transaction of the caller's."""
        at = _text(now)
        stores = list(stores)
        self._tell_rollout(rollout, course, at)
        self._db.executemany(
            "UPDATE stores SET progress = ?, since = CASE WHEN ? THEN ? ELSE since END "
            "WHERE rollout = ? AND store = ?",
            (
                (_row(store), change.old is not change.new, at, rollout, store.store)
                for store, change in stores
            ),
        )
        self._db.executemany(
            _ADD_HISTORY,
            (
                (rollout, at, store.store, store.wave, change.old.value, change.new.value, change.reason)
                for store, change in stores
                if change.old is not change.new
            ),
        )

    def save_wave(self, rollout: str, number: int, wave: WaveCourse, now: datetime) -> None:
        """Write a wave that changed, inside a transaction of the caller's."""
        at = _text(now)
        self._db.execute(
            "UPDATE waves SET course = ?, started = CASE WHEN ? THEN COALESCE(started, ?) END, "
            "ended = CASE WHEN ? THEN COALESCE(ended, ?) END WHERE rollout = ? AND number = ?",
            (_row(wave), wave.began is not None, at, wave.ended is not None, at, rollout, number),
        )

    def note(
        self, plan_id: str, old: str, new: str, reason: str | None, at: datetime, wave: int | None = None
    ) -> None:
        """Enter a line of the history that is of no single store, inside a transaction of the caller's."""
        self._db.execute(_ADD_HISTORY, (plan_id, _text(at), None, wave, old, new, reason))

    def leave(self, rollout: str, command: Command, now: datetime) -> int:
        """Leave a command for the engine; returns its number."""
        with self.transaction():
            cursor = self._db.execute(
                "INSERT INTO commands (rollout, at, who, command) VALUES (?, ?, ?, ?)",
                (rollout, _text(now), command.who, json.dumps(command.document)),
            )
        return int(cursor.lastrowid or 0)

    def commands(self, rollout: str) -> list[tuple[int, Command]]:
        """Return what was left and not done yet, in order."""
        rows = self._db.execute(
            "SELECT seq, command FROM commands WHERE rollout = ? AND done IS NULL ORDER BY seq", (rollout,)
        )
        return [(seq, Command.from_document(json.loads(text))) for seq, text in rows]

    def done(self, seq: int, outcome: str) -> None:
        """Note what came of a command, inside a transaction of the caller's."""
        self._db.execute("UPDATE commands SET done = ? WHERE seq = ?", (outcome, seq))

    def outcome(self, seq: int) -> str | None:
        """Return what came of a command; None if no engine has taken it up."""
        row = self._db.execute("SELECT done FROM commands WHERE seq = ?", (seq,)).fetchone()
        return row[0] if row else None

    def listed(self) -> list[Listed]:
        """Return all rollouts, the newest first."""
        rows = self._db.execute(
            "SELECT id, state, reason, started, updated, ended FROM rollouts "
            "ORDER BY started DESC, rowid DESC"
        )
        return [Listed(row[0], RolloutState(row[1]), *row[2:]) for row in rows]

    def find(self, rollout: str | None) -> Listed:
        """Return a rollout, without a name the newest; raises EdgeError if there is none."""
        known = self.listed()
        found = next((one for one in known if rollout in (None, one.id)), None)
        if found is None:
            names = ", ".join(one.id for one in known[:5]) or "it has none"
            raise EdgeError(
                f"no rollout {rollout or ''} in {self.path}".replace("  ", " "), f"name one of: {names}"
            )
        return found

    def plan(self, rollout: str) -> tuple[Plan, str]:
        """Return the plan that a rollout was started with, and its inventory."""
        row = self._db.execute("SELECT plan, inventory FROM rollouts WHERE id = ?", (rollout,)).fetchone()
        return Plan.from_document(json.loads(row[0])), row[1]

    def course(self, rollout: str) -> Course:
        """Return how far a rollout and its waves are."""
        state, *others = self._db.execute(
            "SELECT state, reason, clock, forgiven, back_began FROM rollouts WHERE id = ?", (rollout,)
        ).fetchone()
        waves = self._db.execute("SELECT course FROM waves WHERE rollout = ? ORDER BY number", (rollout,))
        return Course([_wave(text) for (text,) in waves], RolloutState(state), *others)

    def stores(self, rollout: str) -> Iterator[tuple[Progress, str]]:
        """Yield the stores of a rollout by name, and since when each is what it is."""
        rows = self._db.execute(
            "SELECT progress, since FROM stores WHERE rollout = ? ORDER BY store", (rollout,)
        )
        return ((_progress(text), since) for text, since in rows)

    def wave_times(self, rollout: str) -> list[tuple[str | None, str | None]]:
        """Return when each wave began and ended, by the time of day."""
        rows = self._db.execute(
            "SELECT started, ended FROM waves WHERE rollout = ? ORDER BY number", (rollout,)
        )
        return list(rows)

    def history(self, rollout: str) -> Iterator[Event]:
        """Yield the lines of the history, the oldest first."""
        rows = self._db.execute(
            "SELECT at, store, wave, old, new, reason FROM history WHERE rollout = ? ORDER BY seq", (rollout,)
        )
        return (Event(*row) for row in rows)

    def _tell_rollout(self, rollout: str, course: Course, at: str) -> None:
        over = course.state in CLOSED
        self._db.execute(
            "UPDATE rollouts SET state = ?, reason = ?, clock = ?, forgiven = ?, back_began = ?, "
            "updated = ?, ended = CASE WHEN ? THEN COALESCE(ended, ?) END WHERE id = ?",
            (
                *(course.state.value, course.reason, course.clock, course.forgiven, course.back_began),
                *(at, over, at, rollout),
            ),
        )

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA:
            return
        if version:
            raise EdgeError(
                f"{self.path} has schema {version}, this version reads {SCHEMA}",
                "use the version of ovms-edge that wrote it, or another --journal",
            )
        text = resources.files("ovms_edge.rollout").joinpath("journal.sql").read_text()
        self._db.executescript(f"BEGIN IMMEDIATE;\n{text}\nPRAGMA user_version = {SCHEMA};\nCOMMIT;")


def _row(row: Progress | WaveCourse) -> str:
    """Return the fields that say anything, as JSON; ``asdict`` would copy, and take ten times as long."""
    values = {name: getattr(row, name) for name in row.__slots__}
    return json.dumps(
        {name: value for name, value in values.items() if value is not None and value is not False}
    )


def _progress(text: str) -> Progress:
    document: dict[str, Any] = json.loads(text)
    busy = document.pop("busy", None)
    state = StoreState(document.pop("state"))
    return Progress(**document, state=state, busy=Kind(busy) if busy else None)


def _wave(text: str) -> WaveCourse:
    document: dict[str, Any] = json.loads(text)
    return WaveCourse(**{**document, "state": WaveState(document["state"])})


def _text(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None, microsecond=0).isoformat()}Z"


@contextmanager
def _explained(path: Path | str) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        remedy = _SPACE if "full" in str(error) else "see that its directory is there and can be written"
        raise EdgeError(f"{path}: {error}", remedy) from error
    except sqlite3.DatabaseError as error:
        raise EdgeError(f"{path} is no journal of rollouts: {error}", "name another --journal") from error
