"""What is done to a server from outside while it is being switched to: real signals, real limits."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from ovms_edge.manifest import ReleaseRef
from tests.e2e.fault_store import ROOT, FaultStore

_STRIKE_SECONDS = 120
_RELEASE_LABEL = "ovms-edge.release"
# $id and $pid: the container of the release and its first process, as soon as it runs
_FIND = """
until id=$(docker ps -q -f label={label}={ref} -f status=running) && [ -n "$id" ]; do sleep 0.02; done
pid=$(docker inspect -f '{{{{.State.Pid}}}}' "$id")
logged() {{ [ "$( (docker logs -f "$id" 2>&1 &) | grep -c -m "$2" "$1")" = "$2" ]; }}
"""
REQUEST = "Request body"  # logged with log_level DEBUG
AVAILABLE = "is available"
KILL = 'kill -9 "$pid"'


def at_load(action: str) -> str:
    """Strike when OVMS has begun to load the model."""
    return f"logged 'Initializing Visual Language Model' 1; {action}"


def at_request(number: int, action: str) -> str:
    return f"logged '{REQUEST}' {number}; {action}"


def when_available(action: str) -> str:
    return f"logged '{AVAILABLE}' 1; {action}"


# Every process of the container, as in a driver that does not come back.
HANG = 'kill -STOP "$pid" $(cat /proc/"$pid"/task/*/children)'
SLOW = 'docker update --cpus 0.04 "$id"'
LITTLE_MEMORY = 'docker update --memory 3g --memory-swap 3g "$id"'


def sabotaged(store: FaultStore, ref: ReleaseRef, script: str | None) -> AbstractContextManager[None]:
    """Run ``script`` in the store on the container of ``ref``; raises AssertionError if it never struck."""
    return _running(store, _FIND.format(label=_RELEASE_LABEL, ref=ref) + script) if script else nullcontext()


@contextmanager
def _running(store: FaultStore, script: str) -> Iterator[None]:
    command = ["lab/lab", "exec", store.name, "timeout", str(_STRIKE_SECONDS), "sh", "-ec", script]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield
        output, _ = process.communicate(timeout=_STRIKE_SECONDS)
        assert process.returncode == 0, f"not struck ({process.returncode}): {output}"
