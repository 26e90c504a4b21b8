"""A store that goes down under load: what it costs those who ask, until it serves by itself again."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.e2e import fault_store
from tests.e2e.fault_store import FaultStore, Serving
from tests.e2e.load import Asked, Load, Report
from tests.e2e.switch_store import SwitchStore

PAUSE = 1.0  # seconds from an answer, or from a failure, to a client's next request
PATIENCE = 60.0
BACK_SECONDS = 120.0
_KINDS = {
    "ConnectionRefusedError": "refused",
    "ConnectionResetError": "reset",
    "RemoteDisconnected": "closed",
    "TimeoutError": "timed out",
    "BrokenPipeError": "reset",
}


@dataclass(frozen=True)
class Reboot:
    """Times in seconds since 1970. ``gate``: what the store itself found before anybody asked it to look."""

    went_down: float
    booted: float
    report: Report
    before: Serving
    after: Serving
    gate: dict[str, Any]

    @property
    def first_answer_seconds(self) -> float:
        """Return how long after it went down the first request was answered that was not before."""
        ends = [asked.ended for asked in self.report.requests if not asked.fault]
        return min(end for end in ends if end > self.booted) - self.went_down

    @property
    def failed_after(self) -> list[str]:
        """Return the requests that failed though they were asked after that one was answered."""
        back = self.went_down + self.first_answer_seconds
        return Report(tuple(asked for asked in self.report.requests if asked.started > back)).faults

    @property
    def served_the_same(self) -> bool:
        """Whether it was the same container and release, and the store itself found that they serve."""
        same = (self.after.container, self.after.active) == (self.before.container, self.before.active)
        return same and bool(self.gate["ok"]) and self.gate["release"] == self.before.active["release"]

    @property
    def kinds(self) -> Counter[str]:
        """Return how requests failed, and how many of each kind."""
        return Counter(kind(asked) for asked in self.report.requests if asked.fault)


def kind(asked: Asked) -> str:
    """Return in a word how a request failed."""
    assert asked.fault
    if asked.truncated:
        return "cut off"
    if asked.status:
        return f"status {asked.status}"
    if "No route to host" in asked.fault:
        return "no route"
    return _KINDS.get(asked.fault.partition(":")[0], asked.fault)


def restart(store: FaultStore) -> None:
    """As `reboot`: all that runs is told to end, and does."""
    fault_store.lab("restart", store.name)


def cut_power(store: FaultStore) -> None:
    """The power goes, and leaves zeros where the end of the server's log was not on the disk yet."""
    path = store.shell(f"docker inspect --format '{{{{.LogPath}}}}' {store.server()}").strip()
    store.shell(f"head --bytes 4096 /dev/zero >> {path}")
    store.power_off()
    fault_store.lab("restart", store.name)


def under_load(store: SwitchStore, goes_down: Callable[[FaultStore], None]) -> Reboot:
    """Have a store go down and come back under load; raises AssertionError if it does not serve by itself."""
    before = store.serving()
    with Load(store.endpoint(), pause=PAUSE, patience=PATIENCE) as load:
        went_down = time.time()
        goes_down(store)
        booted = float(store.run("stat", "--format=%.Z", "/proc/1"))
        assert booted > went_down
        load.wait_for(1, BACK_SECONDS)
        gate = _own_gate(store, booted)
    return Reboot(went_down, booted, load.report(), before, store.serving(), gate)


def _own_gate(store: FaultStore, since: float) -> dict[str, Any]:
    deadline = time.monotonic() + BACK_SECONDS
    while True:
        gate: dict[str, Any] = json.loads(store.run("cat", "/var/lib/ovms-edge/gate.json"))
        # It has whole seconds.
        if datetime.fromisoformat(gate["at"]).timestamp() >= int(since):
            return gate
        assert time.monotonic() < deadline, f"{store.name} has not looked itself whether it serves: {gate}"
        time.sleep(0.2)
