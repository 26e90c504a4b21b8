"""Which server is asked next, how long is waited between attempts, and when there is no sense in more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ovms_edge.errors import EdgeError
from ovms_edge.node.output import log
from ovms_edge.node.pace import Pace
from ovms_edge.node.registry import Registry
from ovms_edge.node.registry_auth import TransientError
from ovms_edge.node.source import GaveUpError, WrongBytesError

QUICK_ATTEMPTS = 4
_SLICE_SECONDS = 1.0


class Silence:
    """Since when not one byte came, over all connections; time that a pause took does not count."""

    def __init__(self, limit_seconds: float | None, attempts: int = QUICK_ATTEMPTS) -> None:
        """None: for a short document, given up after ``attempts``."""
        self._limit = limit_seconds
        self._most_attempts = attempts
        self._since: float | None = None
        self._attempts = 0

    def broken(self) -> None:
        """Bytes came."""
        self._since = None
        self._attempts = 0

    def forgive(self, seconds: float) -> None:
        """Do not count ``seconds``."""
        if self._since is not None:
            # A pause is reported by every connection that it held.
            self._since = min(self._since + seconds, time.monotonic())

    def too_long(self) -> bool:
        """Count a failed attempt; whether it was the last."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        self._attempts += 1
        if self._limit is None:
            return self._attempts >= self._most_attempts
        return now - self._since >= self._limit

    def gave_up(self, error: EdgeError) -> EdgeError:
        """Return the error that ends it."""
        if self._limit is None:
            return error
        return GaveUpError(
            f"nothing came for {self._limit:g} s: {error.reason}", "stage again: it goes on from what is here"
        )


def patiently(
    servers: Sequence[Registry],
    attempt: Callable[[Registry, bool], None],
    pace: Pace,
    silence: Silence,
    over: Callable[[], bool] = lambda: False,
) -> None:
    """Call ``attempt(server, fresh)`` until one succeeds, with the first server that is not to be left alone.

    ``fresh``: caches on the way must be asked to fetch anew, since the same server sent wrong bytes before.
    Returns early when ``over``. Raises the error of the last server if all refuse for good, GaveUpError
    after a long silence.
    """
    refused: dict[Registry, EdgeError] = {}
    wrong: set[Registry] = set()
    while not over():
        candidates = [server for server in servers if server not in refused]
        if not candidates:
            raise refused[servers[-1]]
        now = time.monotonic()
        server = next(
            (server for server in candidates if server.ready_at <= now),
            min(candidates, key=lambda server: server.ready_at),
        )
        _wait(server.ready_at - now, pace, silence, over)
        began = time.monotonic()
        try:
            attempt(server, server in wrong)
        except WrongBytesError as error:
            log(error.reason)
            if server in wrong:
                refused[server] = error
            wrong.add(server)
        except TransientError as error:
            delay = server.failed(began, error.retry_after)
            if silence.too_long():
                raise silence.gave_up(error) from error
            others = len(candidates) > 1
            log(f"{error.reason}; " + ("trying the next" if others else f"trying again in {delay:.1f} s"))
        except EdgeError as error:
            refused[server] = error
            if len(refused) < len(servers):
                log(f"{error.reason}; trying the next")
        else:
            server.answered()
            return


def _wait(seconds: float, pace: Pace, silence: Silence, over: Callable[[], bool]) -> None:
    """Wait in slices, so that an end in between is noticed; 0 s too, since it may be paused."""
    while not over():
        part = min(max(seconds, 0.0), _SLICE_SECONDS)
        began = time.monotonic()
        pace.wait(part, "waiting for the depot")
        silence.forgive(max(0.0, time.monotonic() - began - part - _SLICE_SECONDS))
        seconds -= part
        if seconds <= 0:
            return
