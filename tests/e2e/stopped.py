"""``ovms-node`` on a store, stopped right after a named step of its switch (OVMS_NODE_STOP_AT)."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from tests.e2e.switch_store import SwitchStore

_DIRECTORY = "/root/stopped"
_REACH_SECONDS = 180.0
_END_SECONDS = 120.0


@dataclass(frozen=True)
class Stopped:
    store: SwitchStore
    pid: int

    def kill(self) -> None:
        self.store.run("kill", "-9", str(self.pid))

    def go_on(self) -> None:
        self.store.run("kill", "-CONT", str(self.pid))

    def close(self) -> None:
        """Kill it if it is still there, so that a case that failed stops no other."""
        if self._state() == "T":
            self.kill()

    def end(self) -> dict[str, Any]:
        """Return the document of its end, which is waited for."""
        deadline = time.monotonic() + _END_SECONDS
        while self._state():
            assert time.monotonic() < deadline, f"still there: {self.store.shell(f'cat {_DIRECTORY}/err')}"
            time.sleep(0.05)
        document: dict[str, Any] = json.loads(self.store.shell(f"cat {_DIRECTORY}/out"))
        return document

    def wait_until_it_stopped(self, step: str) -> None:
        deadline = time.monotonic() + _REACH_SECONDS
        while (state := self._state()) != "T":
            said = f"{step} was not reached, process is {state or 'gone'}"
            assert state, f"{said}: {self.store.shell(f'cat {_DIRECTORY}/out {_DIRECTORY}/err')}"
            assert time.monotonic() < deadline, said
            time.sleep(0.05)

    def _state(self) -> str:
        """Return the process's state as proc(5) has it; empty if it is gone."""
        return self.store.shell(f"sed 's/.*) //; s/ .*//' /proc/{self.pid}/stat 2>/dev/null || true").strip()


def stop_at(store: SwitchStore, step: str, *words: str, stdin: object = None) -> Stopped:
    """Run ``ovms-node WORDS`` on the store, detached, and return once it stopped after ``step``."""
    given = f"cat > {_DIRECTORY}/in && " if stdin is not None else f": > {_DIRECTORY}/in && "
    command = f"env OVMS_NODE_STOP_AT={step} /usr/local/bin/ovms-node {' '.join(words)} --json"
    script = (
        f"mkdir -p {_DIRECTORY} && {given}"
        f"{{ setsid {command} < {_DIRECTORY}/in > {_DIRECTORY}/out 2> {_DIRECTORY}/err & echo $!; }}"
    )
    stopped = Stopped(store, int(store.say("sh", "-c", script, stdin=stdin)))
    try:
        stopped.wait_until_it_stopped(step)
    except BaseException:
        store.shell(f"kill -9 {stopped.pid} || true")
        raise
    return stopped
