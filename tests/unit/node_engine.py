"""An engine that keeps containers, and a gateway before it, for tests of what is done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ovms_edge.errors import EdgeError
from ovms_edge.node.config import DepotServer, NodeConfig, Trust
from ovms_edge.node.context import Node
from ovms_edge.node.docker import Docker
from ovms_edge.node.gateway import Gateway
from ovms_edge.node.slots import SLOTS, Slot, container_name

STARTED = "2026-01-01T00:00:00Z"
SUBNET = "172.31.253.0/29"


class PowerCutError(BaseException):
    """Everything ends here. No code of ours catches it."""


@dataclass
class FakeEngine:
    """Containers by name. ``refuse`` says which call, such as ``start ovms-vlm-a``, the engine refuses."""

    containers: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    refuse: Callable[[str], bool] = lambda call: False
    internal: bool = True

    def called(self, verb: str, name: str, detail: str = "") -> None:
        call = f"{verb} {name} {detail}".rstrip()
        self.calls.append(call)
        if self.refuse(call):
            raise EdgeError(f"engine refuses: {call}", "see journalctl -u docker")

    def wait_until_it_runs(self, seconds: float) -> None:
        return

    def container(self, name: str) -> dict[str, Any] | None:
        return self.containers.get(name)

    def memory_bytes(self, name: str) -> int:
        return 1 << 30

    def image(self, reference: str) -> dict[str, Any]:
        return {"Id": reference}

    def network(self, name: str) -> dict[str, Any]:
        return {"Internal": self.internal, "IPAM": {"Config": [{"Subnet": SUBNET}]}}

    def create_container(self, name: str, body: Mapping[str, Any]) -> None:
        self.called("create", name)
        assert name not in self.containers
        self.containers[name] = {
            "Config": {"Labels": body["Labels"]},
            "HostConfig": {**body["HostConfig"]},
            "RestartCount": 0,
            "State": {"Status": "created", "ExitCode": 0, "StartedAt": STARTED},
        }

    def start(self, name: str) -> None:
        self.called("start", name)
        self.containers[name]["State"]["Status"] = "running"

    def stop(self, name: str, timeout_seconds: int) -> None:
        self.called("stop", name)
        self.containers[name]["State"]["Status"] = "exited"

    def set_restart_policy(self, name: str, policy: str) -> None:
        self.called("policy", name, policy)
        self.containers[name]["HostConfig"]["RestartPolicy"] = {"Name": policy}

    def set_cpu_shares(self, name: str, shares: int) -> None:
        self.called("shares", name, str(shares))
        self.containers[name]["HostConfig"]["CpuShares"] = shares

    def remove(self, name: str) -> None:
        self.called("remove", name)
        del self.containers[name]

    def log_lines(self, name: str, since: str = "0", tail: str = "all") -> Iterator[str]:
        yield "Available devices for Open VINO: CPU"

    def running(self) -> list[str]:
        return [name for name, seen in self.containers.items() if seen["State"]["Status"] == "running"]

    def boot(self) -> None:
        """Do what an engine does when its host starts: it starts what ran before and may."""
        for seen in self.containers.values():
            may = seen["HostConfig"]["RestartPolicy"]["Name"] == "always"
            if seen["State"]["Status"] != "created":
                seen["State"]["Status"] = "running" if may else "exited"


@dataclass(frozen=True)
class FakeGateway(Gateway):
    """Its servers are all at ``server``; each route that is set counts as a call of ``engine``."""

    engine: FakeEngine = field(default_factory=FakeEngine)
    server: str = ""

    def server_url(self, slot: Slot) -> str:
        return self.server

    def set_route(self, word: str) -> None:
        self.engine.called("route", word)
        super().set_route(word)

    def health(self) -> str:
        word = self.route()
        runs = word in SLOTS and container_name(cast(Slot, word)) in self.engine.running()
        return word if runs or word == "hold" else "down"


def make_node(directory: Path, engine: FakeEngine, server: str) -> Node:
    """Return a node whose state lies in ``directory``, with a gateway that was never told a slot."""
    state_dir, run = directory / "state", directory / "run"
    (state_dir / "models").mkdir(parents=True)
    run.mkdir()
    none = directory / "none"
    gateway = FakeGateway(
        url="http://127.0.0.1:8002",
        network="ovms-edge-server",
        subnet=SUBNET,
        slots={"a": "172.31.253.2", "b": "172.31.253.3"},
        route_file=run / "route",
        engine=engine,
        server=server,
    )
    config = NodeConfig(state_dir, none, DepotServer("https://depot.example"), Trust(none))
    return Node(config, gateway, cast(Docker, engine))
