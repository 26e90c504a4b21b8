"""One ``stage`` on its way: its pace, and what is said of it in ``transfer.json``."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from types import TracebackType
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.bucket import Bucket
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.failures import edge_error
from ovms_edge.node.output import log, size_text, utc_now
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.source import GaveUpError
from ovms_edge.node.transfer_files import Control, closed_reason, load_control, own_process, write_status

_TICK_SECONDS = 0.2  # how late a pause is seen, at most
_STATUS_SECONDS = 1.0
_LOG_SECONDS = 10.0
_NAP_SECONDS = 0.1
# Without a limit a read is as long as the link needs for this, so that a pause holds soon on a slow one too.
_READ_SECONDS = 0.2
_SMALLEST_READ = 16 << 10
_SMOOTHING = 0.2  # share of the last tick in the rate that is shown


class Transfer:
    """The ``Pace`` and the ``Progress`` of a stage, as a context manager.

    Rates, pauses and the schedule are looked up every 0.2 s, so that what is told from outside holds within
    a second. The rate is of body bytes; headers, TLS and TCP come on top (some 3 %).
    """

    def __init__(self, config: NodeConfig, ref: ReleaseRef) -> None:
        self._paths = StatePaths(config.state_dir)
        self._schedule = config.transfer.schedule
        self._connections = config.transfer.connections
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._control = Control()
        self._damage = ""
        self._limit: int | None = None
        self._bucket: Bucket | None = None
        self._closed = ""
        self._phase = "planning"
        self._waiting: dict[int, str] = {}
        self._fetched = self._fetch_bytes = self._written = self._bytes = 0
        self._still = True
        self._rate_now = 0.0
        self._document: dict[str, Any] = {"release": str(ref), "started": utc_now(), **own_process()}

    def __enter__(self) -> Transfer:
        self._paths.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._look()
        self._write(durable=False)
        if self._control.paused:
            log("paused before: nothing is fetched until ovms-node transfer resume")
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended.is_set():
            return
        if isinstance(error, (EdgeError, OSError)):
            shown = edge_error(error)
            state = "gave_up" if isinstance(error, GaveUpError) else "failed"
            self._end(state, {"ok": False, "reason": shown.reason, "remedy": shown.remedy})
        else:
            self._stop()  # what ended it is no result: the status says interrupted

    def begin(self, fetch_bytes: int, total: int) -> None:
        """Say what there is to do: bytes to fetch, bytes of the release."""
        self._fetched, self._fetch_bytes, self._bytes = 0, fetch_bytes, total
        self._phase = "fetching"

    def wrote(self, size: int) -> None:
        """Count ``size`` bytes of the release that are in place."""
        with self._lock:
            self._written += size

    def phase(self, state: str) -> None:
        """Say what is done now."""
        self._phase = state

    def end(self, document: dict[str, Any]) -> None:
        """Say that it is done; ``document`` is the result of the stage."""
        self._end("done", document)

    def take(self, size: int) -> int:
        """Wait until bytes may be read (pause, schedule, rate); return how many."""
        while True:
            granted, wait = self._grant(size)
            if granted:
                return granted
            time.sleep(min(wait, _NAP_SECONDS))

    def arrived(self, size: int) -> None:
        """Count ``size`` bytes that came."""
        with self._lock:
            self._fetched += size

    def wait(self, seconds: float, reason: str) -> None:
        """Wait before a request, and on while nothing may come (paused, a window that is closed)."""
        if seconds > 0:
            self._waiting[threading.get_ident()] = reason
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 or self._control.paused or self._limit == 0:
            time.sleep(min(left, _NAP_SECONDS) if left > 0 else _NAP_SECONDS)
        self._waiting.pop(threading.get_ident(), None)

    def _grant(self, size: int) -> tuple[int, float]:
        with self._lock:
            if self._control.paused or self._limit == 0:
                return 0, _NAP_SECONDS
            if self._bucket is None:
                portion = int(self._rate_now * _READ_SECONDS / self._connections)
                return min(size, max(portion, _SMALLEST_READ)), 0.0
            granted = self._bucket.grant(size, time.monotonic())
            return granted, self._bucket.seconds_until(size)

    def _tick(self) -> None:
        counted, at = 0, time.monotonic()
        written_at = told_at = at
        while not self._ended.wait(_TICK_SECONDS):
            self._look()
            now = time.monotonic()
            recent = max(self._fetched - counted, 0) / max(now - at, _TICK_SECONDS)
            self._rate_now += _SMOOTHING * (recent - self._rate_now)
            self._still = self._fetched == counted
            counted, at = self._fetched, now
            if now - written_at >= _STATUS_SECONDS:
                written_at = now
                self._write(durable=False)
            if now - told_at >= _LOG_SECONDS and self._phase == "fetching":
                told_at = now
                done, total = size_text(self._fetched), size_text(self._fetch_bytes)
                log(f"{done} of {total} fetched, {self._state()[0]}")

    def _look(self) -> None:
        """Look up pause, rate and schedule."""
        control, damage, now = self._control, "", datetime.now().astimezone()
        try:
            control = load_control(self._paths)
        except EdgeError as error:
            damage = f"{error}; going on as before"
        if damage and damage != self._damage:
            log(damage)
        limit = control.limit(self._schedule.rate_at(now))
        with self._lock:
            if limit != self._limit:
                self._bucket = Bucket(limit, filled_at=time.monotonic()) if limit else None
            self._control, self._limit, self._damage = control, limit, damage
        self._closed = closed_reason(control, self._schedule, now) if limit == 0 else ""

    def _state(self) -> tuple[str, str | None]:
        if self._control.paused:
            return "paused", "resume with ovms-node transfer resume"
        if self._phase == "verifying":
            return self._phase, None
        if self._closed:
            return "waiting", self._closed
        reasons = list(self._waiting.values())
        if reasons and self._still:
            return "waiting", reasons[0]
        return self._phase, None

    def _write(self, *, durable: bool, **ending: Any) -> None:
        state, reason = self._state()
        left = max(self._fetch_bytes - self._fetched, 0)
        rate = round(self._rate_now) if state in ("planning", "fetching") else 0
        self._document |= {
            "state": state,
            "fetched_bytes": self._fetched,
            "fetch_bytes": self._fetch_bytes,
            "written_bytes": self._written,
            "bytes": self._bytes,
            "rate_now": rate,
            "seconds_left": round(left / rate) if rate and state == "fetching" else None,
            "paused": self._control.paused,
            "rate": self._limit,
            "reason": reason,
            "remedy": None,
            "updated": utc_now(),
            "result": None,
            **ending,
        }
        try:
            write_status(self._paths.transfer, self._document, durable=durable)
        except OSError as error:
            log(f"{self._paths.transfer} cannot be written: {error.strerror}")

    def _end(self, state: str, document: dict[str, Any]) -> None:
        self._stop()
        self._write(
            durable=True,
            state=state,
            reason=document.get("reason"),
            remedy=document.get("remedy"),
            rate_now=0,
            seconds_left=None,
            result=document,
        )

    def _stop(self) -> None:
        self._ended.set()
        if self._ticker.is_alive():
            self._ticker.join()
