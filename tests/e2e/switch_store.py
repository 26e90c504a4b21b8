"""A store on which models are switched: its node tool, its gateway, and what it says of itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.manifest import ReleaseRef
from tests.e2e import fault_store
from tests.e2e.fault_store import ROOT, FaultStore
from tests.e2e.load import Endpoint, ask_once

CONTAINERS = ("ovms-vlm-a", "ovms-vlm-b")
STATE = "/var/lib/ovms-edge/state.json"
JOURNAL = "/var/lib/ovms-edge/journal.jsonl"
GATEWAY = "/etc/ovms-edge/gateway.json"
MEMORY_GIB = 32


@dataclass(frozen=True)
class Active:
    """What state.json says is active, as far as a failed switch leaves it alone."""

    release: str
    spec: str
    slot: str


@dataclass(frozen=True)
class SwitchStore(FaultStore):
    """``address`` is the store's in the lab's network, where its gateway listens."""

    address: str

    def node(self, *words: str, stdin: object = None) -> dict[str, Any]:
        """Return the document of ``ovms-node WORDS``, which may well be a refusal."""
        return self.document("/usr/local/bin/ovms-node", *words, stdin=stdin)

    def document(self, *command: str, stdin: object = None) -> dict[str, Any]:
        done = self._tried((*command, "--json"), stdin)
        try:
            document: dict[str, Any] = json.loads(done.stdout)
        except ValueError as error:
            raise AssertionError(
                f"{' '.join(command)} says {done.stdout!r} and {done.stderr[-1000:]!r}"
            ) from error
        return document

    def say(self, *command: str, stdin: object = None) -> str:
        """Return the standard output of a command, whatever its exit status; ``stdin`` is given as JSON."""
        return self._tried(command, stdin).stdout

    def _tried(self, command: tuple[str, ...], stdin: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "lab/lab", "exec", self.name, *command],
            cwd=ROOT,
            input="" if stdin is None else json.dumps(stdin),
            capture_output=True,
            text=True,
            check=False,
        )

    def put(self, path: str, text: str) -> None:
        """Replace the content of a file on the store."""
        subprocess.run(
            [ROOT / "lab/lab", "exec", self.name, "sh", "-c", f"cat > {path}.new && mv {path}.new {path}"],
            input=text, cwd=ROOT, text=True, check=True,
        )  # fmt: skip

    def stage(self, ref: ReleaseRef) -> None:
        document = self.node("stage", str(ref))
        assert document["ok"], document

    def activate(self, ref: ReleaseRef | str, *options: str, **changes: Any) -> dict[str, Any]:
        """Return what ``ovms-node activate`` says; ``changes`` are to the settings of what is active."""
        return self.node("activate", str(ref), "--server", "-", *options, stdin=self.settings(**changes))

    def settings(self, **changes: Any) -> dict[str, Any]:
        settings: dict[str, Any] = self.state()["active"]["settings"]
        return settings | changes

    def state(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("cat", STATE))
        return document

    def active(self) -> Active:
        active = self.state()["active"]
        return Active(active["release"], active["spec"], active["slot"])

    def journal(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run("cat", JOURNAL).splitlines()]

    def containers(self) -> dict[str, bool]:
        """Return the containers of OVMS by name, and whether each runs."""
        listing = self.run("docker", "ps", "-a", "--format", "{{.Names}} {{.State}}")
        found = dict(line.split() for line in listing.splitlines())
        return {name: state == "running" for name, state in found.items() if name in CONTAINERS}

    def route(self) -> str:
        path = json.loads(self.run("cat", GATEWAY))["route_file"]
        return self.shell(f"cat {path} 2>/dev/null || true").strip()

    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://{self.address}:8002", "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8")

    def signature(self) -> str:
        """Return the beginning of the answer that the gateway gives now."""
        asked = ask_once(self.endpoint())
        assert asked.fault is None, asked.fault
        return asked.signature


@contextmanager
def lab_store(name: str, inventory: Path) -> Iterator[SwitchStore]:
    """Yield a new store that serves the lab's release; it is removed in the end."""
    with bare_store(name, inventory) as store:
        run = store.playbook("site.yml")
        assert run.status == 0, run.output
        yield store


@contextmanager
def bare_store(name: str, inventory: Path) -> Iterator[SwitchStore]:
    """Yield a new store that has nothing yet; it is removed in the end."""
    made = ("--debian", "13", "--memory-gib", str(MEMORY_GIB), "--inventory", str(inventory))
    fault_store.lab("add", name, *made)
    try:
        yield running_store(name, inventory)
    finally:
        fault_store.lab("remove", name)


def running_store(name: str, inventory: Path) -> SwitchStore:
    """Return a store of the lab that is there already."""
    return SwitchStore(name, inventory, _address(name))


def _address(name: str) -> str:
    (line,) = (line for line in fault_store.lab("status").splitlines() if line.split()[:1] == [name])
    return line.split()[5]
