"""Runs of a controller that died: where SIGHUP is ignored (nohup) their terminal does not take them along."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "OVMS_EDGE_ROLLOUT"
_END_SECONDS = 10.0
_POLL_SECONDS = 0.05


def end_orphans(rollout: str) -> int:
    """End what an earlier engine of this rollout started and did not live to see; returns how many processes.

    Stores finish by themselves what they were told. To be called by the only controller of the journal.
    """
    found = list(_marked(rollout))
    for pid in found:
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + _END_SECONDS
    while list(_marked(rollout)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for pid in _marked(rollout):
        _signal(pid, signal.SIGKILL)
    return len(found)


def _marked(rollout: str) -> Iterator[int]:
    """Yield the processes whose environment names the rollout (proc(5)); those of others cannot be read."""
    wanted = f"{MARK}={rollout}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
