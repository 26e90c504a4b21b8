"""Stores of the lab for rollouts, and ``ovms-edge rollout`` as an operator calls it."""

from __future__ import annotations

import json
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
ANSIBLE_PLAYBOOK = EDGE.with_name("ansible-playbook")
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

    def playbook(self, path: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        argv = [str(ANSIBLE_PLAYBOOK), "-i", str(self.inventory), path, "-e", json.dumps(variables)]
        return subprocess.run(
            argv, cwd=ROOT, capture_output=True, text=True, timeout=_SITE_SECONDS, check=False
        )

    def serving(self) -> dict[str, str]:
        return {store.name: store.active().release for store in self.stores}

    def planned(self, release: ReleaseRef, *waves: dict[str, Any], **spec: Any) -> Rollout:
        """Return a rollout of ``release`` that has not begun, planned after a survey of the stores."""
        directory = self.directory / str(release).replace("@", "-")
        directory.mkdir(exist_ok=True)
        text = yaml.safe_dump({"release": str(release), "waves": list(waves), **spec})
        (directory / "rollout.yml").write_text(text)
        rollout = Rollout(self, directory)
        survey = rollout.survey(release)
        rollout.edge(
            *("plan", str(directory / "rollout.yml"), "-i", str(self.inventory)),
            *("--survey", str(survey), "--output", str(rollout.plan)),
        )
        return rollout


@dataclass(frozen=True)
class Rollout:
    fleet: Fleet
    directory: Path

    @property
    def plan(self) -> Path:
        return self.directory / "plan.json"

    def survey(self, release: ReleaseRef) -> Path:
        """Return the file with what each store says that the release would be for it."""
        path = self.directory / "survey.json"
        variables = {"model_release_ref": str(release), "survey_file": str(path)}
        run = self.fleet.playbook("playbooks/survey_stores.yml", **variables)
        assert run.returncode == 0, run.stdout[-3000:]
        return path

    def surveyed(self) -> dict[str, Any]:
        stores: dict[str, Any] = json.loads((self.directory / "survey.json").read_text())["stores"]
        return stores

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
        """Run ``ovms-edge rollout WORDS`` beside, once it is in the journal; it is interrupted in the end."""
        with subprocess.Popen(
            self._command(words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                while process.poll() is None and not json.loads(self.edge("list", "--json")):
                    time.sleep(0.2)
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
        stores = tuple(running_store(name, inventory) for name in names)
        fleet = Fleet(stores, inventory, directory)
        site = fleet.playbook("site.yml")
        assert site.returncode == 0, site.stdout[-3000:]
        yield fleet


@contextmanager
def loads(stores: Sequence[SwitchStore]) -> Iterator[list[Load]]:
    """Ask each of the stores all the while; one client each, with a pause, since processors are shared."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(Load(store.endpoint(), clients=CLIENTS[:1], pause=2.0)) for store in stores
        ]
