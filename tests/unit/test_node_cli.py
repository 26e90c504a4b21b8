"""``ovms-node`` as it is called, against a depot over real HTTP."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ovms_edge.node.cli import main
from ovms_edge.node.config import NodeConfig, load_node_config
from ovms_edge.node.container import Host, desired_server
from ovms_edge.node.generation import build_generation
from ovms_edge.node.lock import exclusive
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.releases import staged_release
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.node.state import Deployment, State, save_state
from tests.unit.node_depot import FakeDepot, Publisher, manifest_of, node_config, serve

FILES = {"a.bin": b"weights", "sub/b.xml": b"<net/>"}
MANIFEST = manifest_of(FILES)


@pytest.fixture
def config_file(tmp_path: Path) -> Iterator[Path]:
    """A node's ``node.json`` with a depot that holds the release."""
    (tmp_path / "gateway.json").write_text(json.dumps(GATEWAY))
    publisher = Publisher(tmp_path / "publisher")
    with serve(FakeDepot(auth="basic")) as depot:
        publisher.publish(depot, MANIFEST, FILES)
        config = node_config(tmp_path / "node", depot, publisher)
        yield written(tmp_path / "node.json", config)


def written(path: Path, config: NodeConfig) -> Path:
    depot = {"url": config.depot.url, "credentials_file": str(config.depot.credentials_file)}
    document = {
        "schema": 1,
        "state_dir": str(config.state_dir),
        "depot": depot,
        "allowed_signers_file": str(config.trust.allowed_signers),
    }
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(autouse=True)
def umask_is_restored() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("umask", [0o077, 0o027])
def test_the_container_s_user_can_read_what_a_caller_with_a_narrow_umask_made(
    config_file: Path, umask: int
) -> None:
    os.umask(umask)
    assert main(["stage", str(MANIFEST.ref), "--node-config", str(config_file)]) == 0
    paths = StatePaths(load_node_config(config_file).state_dir)
    release = staged_release(paths, MANIFEST.ref)
    assert release
    settings = parse_server_settings({"image": "i:1", "servable": "org/vlm", "device": "CPU"})
    generation = build_generation(
        paths, desired_server(settings, MANIFEST, Host(32 << 30, None, "n")), release
    )
    made = [paths.root, paths.releases, paths.releases / "vlm", paths.models, generation]
    for directory in (*made, *(path for path in generation.rglob("*") if path.is_dir())):
        assert directory.stat().st_mode & 0o005 == 0o005, directory


def test_what_the_operating_system_refuses_is_a_document(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state_dir = load_node_config(config_file).state_dir
    state_dir.write_text("a file where the directory should be")
    assert main(["stage", str(MANIFEST.ref), "--json", "--node-config", str(config_file)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert not document["ok"]
    assert document["reason"].endswith(str(state_dir))
    assert "then run ovms-node again" in document["remedy"]


GATEWAY = {
    "schema": 1,
    "url": "http://127.0.0.1:8002",
    "ca_file": None,
    "network": "ovms-edge-server",
    "subnet": "172.31.253.0/29",
    "slots": {"a": "172.31.253.2", "b": "172.31.253.3"},
    "route_file": "/run/ovms-edge-gateway/route",
    "apps": None,
}
ACTIVE = Deployment("vlm@2", "s", {"image": "i"}, "spec", "2-spec", "t", {"cache_size": 2}, "a")


def test_a_store_that_serves_something_else_does_not_go_back(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = StatePaths(load_node_config(config_file).state_dir)
    paths.state.parent.mkdir(parents=True, exist_ok=True)
    save_state(paths.state, State(active=ACTIVE, previous=replace(ACTIVE, release="vlm@1")))
    options = ("--json", "--node-config", str(config_file))
    for check in ((), ("--check",)):
        assert main(["rollback", "--from", "vlm@3", *check, *options]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["changed"], document["release"]) == (False, "vlm@2")


def test_a_call_that_another_keeps_from_its_work_says_that_it_is_busy(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = StatePaths(load_node_config(config_file).state_dir)
    with exclusive(paths.serve_lock, wait_seconds=0):
        words = ("rollback", "--wait", "0", "--json", "--node-config", str(config_file))
        assert main(list(words)) == 1
    assert json.loads(capsys.readouterr().out)["busy"] is True
