"""Networks and the alias: what OVMS and applications are connected to."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any, cast

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.node.alias import CONTAINER, ensure_alias
from ovms_edge.node.docker import Docker
from ovms_edge.node.gateway import Apps, Gateway
from ovms_edge.node.networks import ensure_networks

APPS = Apps("ovms-edge", "ovms-vlm", Path("/run/ovms-edge-gateway/apps/http.sock"))
SUBNET = "172.31.253.0/29"
GATEWAY = Gateway(
    "http://127.0.0.1:8002", "ovms-edge-server", SUBNET, {"a": "172.31.253.2"}, Path("route"), APPS
)


class FakeEngine:
    def __init__(self) -> None:
        self.networks: dict[str, dict[str, Any]] = {}
        self.containers: dict[str, dict[str, Any]] = {}
        self.images: dict[str, bytes] = {}

    def network(self, name: str) -> dict[str, Any] | None:
        return self.networks.get(name)

    def create_network(self, body: dict[str, Any]) -> None:
        self.networks[body["Name"]] = {"Internal": False, "IPAM": {"Config": []}, **body}

    def container(self, name: str) -> dict[str, Any] | None:
        return self.containers.get(name)

    def image(self, reference: str) -> bytes | None:
        return self.images.get(reference)

    def import_image(self, reference: str, archive: bytes) -> None:
        self.images[reference] = archive

    def create_container(self, name: str, body: dict[str, Any]) -> None:
        self.containers[name] = {
            "Config": {"Labels": body["Labels"]},
            "State": {"Status": "created"},
            "body": body,
        }

    def start(self, name: str) -> None:
        self.containers[name]["State"]["Status"] = "running"

    def remove(self, name: str) -> None:
        del self.containers[name]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def test_ovms_has_a_network_of_its_own_with_no_way_out(engine: FakeEngine) -> None:
    ensure_networks(cast(Docker, engine), GATEWAY)
    server, apps = engine.networks["ovms-edge-server"], engine.networks["ovms-edge"]
    assert server["Internal"]
    assert server["IPAM"] == {"Config": [{"Subnet": SUBNET}]}
    assert apps["Options"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    ensure_networks(cast(Docker, engine), GATEWAY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Internal": False}, "lets containers out"),
        ({"IPAM": {"Config": [{"Subnet": "10.0.0.0/8"}]}}, "has the subnet 10.0.0.0/8, the gateway expects"),
        ({"IPAM": {"Config": None}}, "has the subnet none"),
    ],
)
def test_a_network_that_is_another_is_refused(engine: FakeEngine, change: dict[str, Any], said: str) -> None:
    ensure_networks(cast(Docker, engine), GATEWAY)
    engine.networks["ovms-edge-server"] |= change
    with pytest.raises(EdgeError, match="ovms-edge-server") as caught:
        ensure_networks(cast(Docker, engine), GATEWAY)
    assert said in caught.value.reason
    assert "docker network rm ovms-edge-server" in caught.value.remedy


def test_the_alias_is_a_confined_haproxy_of_the_host(engine: FakeEngine) -> None:
    assert ensure_alias(cast(Docker, engine), APPS)
    body = engine.containers[CONTAINER]["body"]
    assert body["NetworkingConfig"]["EndpointsConfig"] == {"ovms-edge": {"Aliases": ["ovms-vlm"]}}
    host = body["HostConfig"]
    assert all(mount["ReadOnly"] for mount in host["Mounts"])
    assert (host["CapDrop"], host["ReadonlyRootfs"], body["User"]) == (["ALL"], True, "65534:65534")
    ((reference, archive),) = engine.images.items()
    assert reference == body["Image"]
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile("haproxy.cfg")
        assert file
        assert "server gateway unix@/gateway/http.sock" in file.read().decode()
        assert tar.getmember("lib").linkname == "usr/lib"


def test_the_alias_is_made_once_and_started_if_it_stopped(engine: FakeEngine) -> None:
    ensure_alias(cast(Docker, engine), APPS)
    assert not ensure_alias(cast(Docker, engine), APPS)
    engine.containers[CONTAINER]["State"]["Status"] = "exited"
    assert ensure_alias(cast(Docker, engine), APPS)
    assert engine.containers[CONTAINER]["State"]["Status"] == "running"


def test_another_alias_is_made_anew(engine: FakeEngine) -> None:
    ensure_alias(cast(Docker, engine), APPS)
    assert ensure_alias(cast(Docker, engine), Apps("ovms-edge", "vision", APPS.socket))
    body = engine.containers[CONTAINER]["body"]
    assert body["NetworkingConfig"]["EndpointsConfig"]["ovms-edge"]["Aliases"] == ["vision"]


def test_no_alias_is_no_container(engine: FakeEngine) -> None:
    assert not ensure_alias(cast(Docker, engine), None)
    assert engine.containers == {}
