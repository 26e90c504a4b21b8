"""Running an engine, or telling the one that runs: what commands of ``ovms-edge rollout`` have in common."""

from __future__ import annotations

import getpass
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.rollout.ansible_transport import AnsibleTransport
from ovms_edge.rollout.command import Command
from ovms_edge.rollout.controller import controller_of, only_controller
from ovms_edge.rollout.engine import Engine
from ovms_edge.rollout.journal import Journal
from ovms_edge.rollout.orphans import end_orphans
from ovms_edge.rollout.real_clock import RealClock
from ovms_edge.rollout.states import RolloutState, StoreState
from ovms_edge.rollout.status_document import status_document
from ovms_edge.rollout.view import View
from ovms_edge.rollout.words import state_text

_OUTCOME_SECONDS = 30.0
_OUTCOME_POLL_SECONDS = 0.1
# The view costs the more the more stores there are: it gets this part of the time.
_VIEW_SHARE = 0.1
_VIEW_SECONDS = 1.0
_NOT_SERVING = (StoreState.FAILED, StoreState.UNREACHABLE, StoreState.LATE)


def default_journal() -> Path:
    """Return where the journal is kept: XDG_STATE_HOME (XDG Base Directory Specification 0.8)."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local/state")
    return Path(state) / "ovms-edge" / "rollouts.sqlite"


@contextmanager
def opened(path: Path | None) -> Iterator[Journal]:
    """Yield the journal in ``path``, None for the usual one; its directory is made where it is missing."""
    path = path or default_journal()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    journal = Journal(path)
    try:
        yield journal
    finally:
        journal.close()


def project_directory() -> Path:
    """Return the checkout whose playbooks move stores: the working directory, or the one of this package.

    Raises EdgeError if neither is one.
    """
    for directory in (Path.cwd(), Path(__file__).resolve().parents[3]):
        if (directory / "playbooks/activate_release.yml").is_file():
            return directory
    raise EdgeError("no playbooks/activate_release.yml here", "call it in a checkout of ovms-edge")


def document_of(journal: Journal, rollout: str | None) -> dict[str, Any]:
    """Return the status document of a rollout, without a name of the newest."""
    return status_document(journal, rollout, controller_of(Path(journal.path)), RealClock().utc())


def user() -> str:
    """Return who calls, for the journal."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def tell(journal: Journal, rollout: str, command: Command) -> str:
    """Leave a command and return what came of it: at once, or as soon as the engine that runs takes it up."""
    number = journal.leave(rollout, command, RealClock().utc())
    if controller_of(Path(journal.path)) is None:
        with only_controller(Path(journal.path), rollout):
            Engine(journal, rollout, NoTransport(), RealClock()).obey()
    deadline = time.monotonic() + _OUTCOME_SECONDS
    while (outcome := journal.outcome(number)) is None:
        if time.monotonic() > deadline:
            return "left for the engine, which has not taken it up yet"
        time.sleep(_OUTCOME_POLL_SECONDS)
    return outcome


def run_engine(journal: Journal, rollout: str, view: View) -> dict[str, Any]:
    """Move stores until nothing is left to do; returns the status document then.

    An interrupt (SIGINT, SIGTERM) ends the engine between two turns; stores finish by themselves what they
    were told, and ``resume`` goes on.
    """
    path = Path(journal.path)
    with only_controller(path, rollout), interrupts() as interrupted:
        _, inventory = journal.plan(rollout)
        transport = AnsibleTransport(project_directory(), inventory, rollout, path.with_name("runs"))
        end_orphans(rollout)
        engine = Engine(journal, rollout, transport, RealClock())
        due = 0.0
        try:
            view(document_of(journal, rollout))
            while engine.turn() and not interrupted():
                if time.monotonic() >= due:
                    began = time.monotonic()
                    view(document_of(journal, rollout))
                    took = time.monotonic() - began
                    due = began + max(_VIEW_SECONDS, took / _VIEW_SHARE)
        finally:
            transport.close()
            view(document_of(journal, rollout))
        if interrupted():
            raise KeyboardInterrupt
    return document_of(journal, rollout)


def verdict(document: dict[str, Any]) -> int:
    """Say how it ended where that is not well; returns the exit status: 0 where every store serves."""
    state = RolloutState(document["state"])
    left = _left(document, _NOT_SERVING)
    if state is RolloutState.PAUSED:
        name = document["id"]
        sys.stderr.write(
            f"ovms-edge: paused: {document['reason']}\n"
            f"  remedy: ovms-edge rollout retry {name}, resume {name} --forgive, or rollback {name}\n"
        )
        return 1
    if left or state is not RolloutState.DONE:
        sys.stderr.write(f"ovms-edge: {state_text(state)}{f', but {left}' if left else ''}\n")
        return 1
    return 0


def verdict_on_rollback(document: dict[str, Any]) -> int:
    """Say which stores have not gone back yet; returns the exit status: 0 where none is left."""
    left = _left(document, (StoreState.ROLLING_BACK,))
    if left:
        sys.stderr.write(f"ovms-edge: {left} still: they were not reached\n")
    return 1 if left else 0


def _left(document: dict[str, Any], states: Sequence[StoreState]) -> str:
    counts = document["counts"]
    return ", ".join(f"{counts[state]} {state_text(state)}" for state in states if state in counts)


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Turn SIGINT and SIGTERM into a question; the second one is what it always was."""
    seen: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        seen.append(number)
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class NoTransport:
    """For an engine that only takes up commands."""

    def send(self, orders: object) -> None:
        """Send nothing."""

    def results(self, seconds: float) -> list[Any]:
        """Return nothing."""
        del seconds
        return []

    def close(self) -> None:
        """End nothing."""
