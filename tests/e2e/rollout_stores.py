"""Stores of the lab for rollouts, and ``ovms-edge rollout`` as an operator calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ovms_edge.manifest import ReleaseRef
from tests.e2e import fault_store
from tests.e2e.fault_store import ROOT
from tests.e2e.load import CLIENTS, Load
from tests.e2e.switch_store import SwitchStore, running_store

EDGE = Path(sys.executable).with_name("ovms-edge")
_SITE_SECONDS = 900
_ROLLOUT_SECONDS = 600


@dataclass(frozen=True)
class Fleet:
    """``directory`` holds plans and journals; the inventory is of these stores alone."""

    stores: tuple[SwitchStore, ...]
    inventory: Path
    directory: Path

    @property
    def names(self) -> list[str]:
        return [store.name for store in self.stores]

    def serving(self) -> dict[str, str]:
        return {store.name: store.active().release for store in self.stores}

    def planned(self, release: ReleaseRef, *waves: dict[str, Any], **spec: Any) -> Rollout:
        """Return a rollout of ``release`` that has not begun."""
        directory = self.directory / str(release).replace("@", "-")
        directory.mkdir(exist_ok=True)
        text = yaml.safe_dump({"release": str(release), "waves": list(waves), **spec})
        (directory / "rollout.yml").write_text(text)
        rollout = Rollout(self, directory)
        rollout.edge(
            "plan", str(directory / "rollout.yml"), "--output", str(rollout.plan), "-i", str(self.inventory)
        )
        return rollout


@dataclass(frozen=True)
class Rollout:
    fleet: Fleet
    directory: Path

    @property
    def plan(self) -> Path:
        return self.directory / "plan.json"

    def edge(self, *words: str, status: int = 0) -> str:
        """Run ``ovms-edge rollout WORDS`` to its end, which has to be ``status``; returns what it printed."""
        done = subprocess.run(
            self._command(words),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_ROLLOUT_SECONDS,
            check=False,
        )
        assert done.returncode == status, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def start(self, status: int = 0) -> str:
        return self.edge("start", str(self.plan), "-i", str(self.fleet.inventory), status=status)

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """Run ``ovms-edge rollout WORDS`` beside; it is interrupted at the end if it still runs."""
        with subprocess.Popen(
            self._command(words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.edge("status", "--json"))
        return document

    def states(self) -> dict[str, str]:
        return {store["store"]: store["state"] for store in self.status()["stores"]}

    def wait_until(self, reached: Callable[[dict[str, Any]], bool], seconds: float = 300) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not reached(document := self.status()):
            assert time.monotonic() < deadline, json.dumps(document["counts"])
            time.sleep(0.5)
        return document

    def _command(self, words: Sequence[str]) -> list[str]:
        journal = () if words[0] == "plan" else ("--journal", str(self.directory / "journal.sqlite"))
        return [str(EDGE), "rollout", words[0], *journal, *words[1:]]


@contextmanager
def fleet_of(names: Sequence[str], directory: Path) -> Iterator[Fleet]:
    """Yield new stores that serve the lab's release; they are removed in the end."""
    inventory = directory / "inventory"
    with ExitStack() as stack:
        for name in names:
            fault_store.lab(
                "add", name, "--debian", "13", "--memory-gib", "32", "--inventory", str(inventory)
            )
            stack.callback(fault_store.lab, "remove", name)
        site = [Path(sys.executable).with_name("ansible-playbook"), "-i", str(inventory), "site.yml"]
        done = subprocess.run(
            site, cwd=ROOT, capture_output=True, text=True, timeout=_SITE_SECONDS, check=False, env=os.environ
        )
        assert done.returncode == 0, done.stdout[-3000:]
        stores = tuple(running_store(name, inventory) for name in names)
        yield Fleet(stores, inventory, directory)


@contextmanager
def loads(stores: Sequence[SwitchStore]) -> Iterator[list[Load]]:
    """Ask each of the stores all the while; one client each, with a pause, since processors are shared."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(Load(store.endpoint(), clients=CLIENTS[:1], pause=2.0)) for store in stores
        ]
