"""Switching with real files and real HTTP answers; the engine is an object that keeps containers."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, SIGNATURE_FILE, ReleaseRef
from ovms_edge.node import activate as activate_module
from ovms_edge.node import prepare as prepare_module
from ovms_edge.node import switch as switch_module
from ovms_edge.node.config import DepotServer, NodeConfig, Trust
from ovms_edge.node.container import DesiredServer, Host, desired_server
from ovms_edge.node.docker import Docker
from ovms_edge.node.failures import ActivationError
from ovms_edge.node.gate_report import Target
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.releases import StagedRelease, staged_release
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.node.state import State, load_state, save_state
from ovms_edge.node.switch import Switch, target_of
from tests.unit.node_depot import manifest_of
from tests.unit.node_ovms import SERVABLE, FakeOvms, config_entry, events, serve

NAME, ASIDE = "ovms-vlm", "ovms-vlm-previous"
CHAT = "/v3/chat/completions"
STARTED = "2026-01-01T00:00:00Z"


class FakeEngine:
    """Containers by name. ``refuse`` says which call, in the form ``start ovms-vlm``, the engine refuses."""

    def __init__(self) -> None:
        self.containers: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.refuse: Callable[[str], bool] = lambda call: False

    def _called(self, verb: str, name: str, detail: str = "") -> None:
        call = f"{verb} {name} {detail}".rstrip()
        self.calls.append(call)
        if self.refuse(call):
            raise EdgeError(f"engine refuses: {call}", "see journalctl -u docker")

    def container(self, name: str) -> dict[str, Any] | None:
        return self.containers.get(name)

    def image(self, reference: str) -> dict[str, Any]:
        return {"Id": reference}

    def network(self, name: str) -> dict[str, Any]:
        return {"Options": {"com.docker.network.bridge.enable_ip_masquerade": "false"}}

    def create_container(self, name: str, body: Mapping[str, Any]) -> None:
        self._called("create", name)
        self.containers[name] = {
            "Config": {"Labels": body["Labels"]},
            "HostConfig": {**body["HostConfig"]},
            "RestartCount": 0,
            "State": {"Status": "created", "ExitCode": 0, "StartedAt": STARTED},
        }

    def start(self, name: str) -> None:
        self._called("start", name)
        self.containers[name]["State"]["Status"] = "running"

    def stop(self, name: str, timeout_seconds: int) -> None:
        self._called("stop", name)
        self.containers[name]["State"]["Status"] = "exited"

    def set_restart_policy(self, name: str, policy: str) -> None:
        self._called("policy", name, policy)
        self.containers[name]["HostConfig"]["RestartPolicy"] = {"Name": policy}

    def rename(self, name: str, new_name: str) -> None:
        self._called("rename", name, new_name)
        self.containers[new_name] = self.containers.pop(name)

    def remove(self, name: str) -> None:
        self._called("remove", name)
        del self.containers[name]

    def log_lines(self, name: str, since: str = "0", tail: str = "all") -> Iterator[str]:
        yield "Available devices for Open VINO: CPU"


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def ovms() -> Iterator[FakeOvms]:
    answers = {"/v3/models": (200, b'{"data":[{"id":"Qwen/tiny"}]}'), CHAT: (200, events("red"))}
    with serve(FakeOvms(configs=[config_entry()], answers=answers)) as fake:
        yield fake


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeConfig:
    state_dir = tmp_path / "state"
    (state_dir / "models").mkdir(parents=True)
    # only root may give the cache to the container's user
    monkeypatch.setattr(prepare_module, "make_cache", lambda paths: paths.cache)
    none = tmp_path / "none"
    return NodeConfig(state_dir, none, DepotServer("https://depot.example"), Trust(none))


def staged(config: NodeConfig, version: str) -> StagedRelease:
    files = {"a.bin": version.encode()}
    manifest = manifest_of(files, version)
    directory = StatePaths(config.state_dir).release(manifest.ref)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "a.bin").write_bytes(files["a.bin"])
    (directory / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    (directory / SIGNATURE_FILE).write_bytes(b"not looked at here")
    found = staged_release(StatePaths(config.state_dir), manifest.ref)
    assert found
    return found


def switch_to(config: NodeConfig, engine: FakeEngine, ovms: FakeOvms, version: str) -> Switch:
    release = staged(config, version)
    settings = parse_server_settings(
        {"image": "i:1", "servable": SERVABLE, "port": ovms.port, "device": "CPU", "start_timeout_seconds": 1}
    )
    desired: DesiredServer = desired_server(settings, release.manifest, Host(32 << 30, None))
    target = Target(
        settings, release.manifest, release.directory, desired.memory.cache_size_gib, desired.spec
    )
    return Switch(config, cast(Docker, engine), desired, release, target)


def state_of(config: NodeConfig) -> State:
    return load_state(StatePaths(config.state_dir).state)


@pytest.fixture
def serving_first(config: NodeConfig, engine: FakeEngine, ovms: FakeOvms) -> State:
    """vlm@1 serves."""
    assert switch_to(config, engine, ovms, "1").run(State()).changed
    engine.calls.clear()
    return state_of(config)


def test_the_tier_is_remembered_and_a_store_of_before_has_none(
    config: NodeConfig, serving_first: State
) -> None:
    active = serving_first.active
    assert active
    assert target_of(config, active).tier == "A"
    del active.summary["tier"]
    assert target_of(config, active).tier is None


def only_second_fails(ovms: FakeOvms, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let OVMS answer as another model while the container of vlm@2 runs."""
    real = switch_module.run_gate

    def gate(docker: Docker, target: Target, wait_seconds: float) -> object:
        good = target.manifest.version != "2"
        ovms.answers[CHAT] = (200, events("red", model=SERVABLE if good else "other"))
        return real(docker, target, wait_seconds)

    monkeypatch.setattr(switch_module, "run_gate", gate)


def failed(config: NodeConfig, engine: FakeEngine, ovms: FakeOvms, state: State) -> ActivationError:
    with pytest.raises(ActivationError) as caught:
        switch_to(config, engine, ovms, "2").run(state)
    return caught.value


def test_a_gate_that_says_no_brings_the_old_release_back(
    config: NodeConfig,
    engine: FakeEngine,
    ovms: FakeOvms,
    serving_first: State,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only_second_fails(ovms, engine, monkeypatch)
    error = failed(config, engine, ovms, serving_first)
    assert "came from 'other'" in error.reason
    assert (error.document["serving"], error.document["changed"]) == ("vlm@1", False)
    assert list(engine.containers) == [NAME]
    assert engine.containers[NAME]["State"]["Status"] == "running"
    assert engine.containers[NAME]["HostConfig"]["RestartPolicy"] == {"Name": "always"}
    assert state_of(config) == serving_first


def test_the_old_container_is_started_again_even_where_state_json_was_lost(
    config: NodeConfig,
    engine: FakeEngine,
    ovms: FakeOvms,
    serving_first: State,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only_second_fails(ovms, engine, monkeypatch)
    error = failed(config, engine, ovms, State())
    assert "came from 'other'" in error.reason
    assert engine.containers[NAME]["Config"]["Labels"]["ovms-edge.release"] == "vlm@1"
    assert engine.containers[NAME]["State"]["Status"] == "running"
    assert error.document["serving"] is None


@pytest.mark.parametrize(
    ("refused", "time"),
    [("rename ovms-vlm-previous ovms-vlm", 1), ("start ovms-vlm", 2), ("its release is gone", 1)],
)
def test_an_error_on_the_way_back_does_not_replace_the_gate_s_reason(
    config: NodeConfig,
    engine: FakeEngine,
    ovms: FakeOvms,
    serving_first: State,
    monkeypatch: pytest.MonkeyPatch,
    refused: str,
    time: int,
) -> None:
    only_second_fails(ovms, engine, monkeypatch)
    engine.refuse = lambda call: call == refused and engine.calls.count(refused) == time
    if refused == "its release is gone":
        (StatePaths(config.state_dir).releases / "vlm" / "1" / MANIFEST_FILE).unlink()
    error = failed(config, engine, ovms, serving_first)
    assert "came from 'other'" in error.reason
    assert error.document["serving"] is None
    assert error.document["log_tail"] == ["Available devices for Open VINO: CPU"]
    assert error.document["gate"]["checks"][-1]["id"] == "answer"
    assert state_of(config).pending is None
    assert state_of(config).active == serving_first.active


def test_what_the_disk_refuses_takes_the_way_back_too(
    config: NodeConfig,
    engine: FakeEngine,
    ovms: FakeOvms,
    serving_first: State,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    second = switch_to(config, engine, ovms, "2")

    def full(path: Path, state: State) -> None:
        if state.active and state.active.release == "vlm@2":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save_state(path, state)

    monkeypatch.setattr(switch_module, "save_state", full)
    with pytest.raises(ActivationError, match=r"No space left on device: .*state\.json") as caught:
        second.run(serving_first)
    assert caught.value.document["serving"] == "vlm@1"
    assert list(engine.containers) == [NAME]
    assert engine.containers[NAME]["State"]["Status"] == "running"


def mended(config: NodeConfig, version: str) -> Path:
    """Give the release's file another inode, as ``stage --verify`` does."""
    path = StatePaths(config.state_dir).releases / "vlm" / version / "a.bin"
    new = path.with_name("new")
    new.write_bytes(path.read_bytes())
    new.rename(path)
    return path


def inode_served(config: NodeConfig) -> int:
    active = state_of(config).active
    assert active
    return (StatePaths(config.state_dir).models / active.generation / SERVABLE / "a.bin").stat().st_ino


def test_a_container_is_started_anew_on_the_files_that_stage_mended(
    config: NodeConfig, engine: FakeEngine, ovms: FakeOvms, serving_first: State
) -> None:
    again = switch_to(config, engine, ovms, "1")
    path = mended(config, "1")
    assert inode_served(config) != path.stat().st_ino
    outcome = again.run(serving_first)
    assert (outcome.changed, outcome.gate.ok) == (True, True)
    assert engine.calls == [f"stop {NAME}", f"start {NAME}"]
    assert inode_served(config) == path.stat().st_ino
    assert not switch_to(config, engine, ovms, "1").run(state_of(config)).changed


def test_a_container_whose_files_cannot_be_mended_serves_on(
    config: NodeConfig,
    engine: FakeEngine,
    ovms: FakeOvms,
    serving_first: State,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = switch_to(config, engine, ovms, "1")
    mended(config, "1")
    monkeypatch.setattr(engine, "network", lambda name: {"Options": {}})
    with pytest.raises(EdgeError, match="lets containers out"):
        again.run(serving_first)
    assert engine.containers[NAME]["State"]["Status"] == "running"


def test_activate_sees_that_what_serves_has_not_the_release_s_files(
    config: NodeConfig,
    engine: FakeEngine,
    ovms: FakeOvms,
    serving_first: State,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(activate_module, "memory_bytes", lambda: (32 << 30, 0))
    assert serving_first.active
    settings = parse_server_settings(serving_first.active.settings)

    def changed() -> dict[str, Any]:
        ref = ReleaseRef("vlm", "1")
        return activate_module.activate(config, cast(Docker, engine), ref, settings, check=True)

    assert not changed()["changed"]
    mended(config, "1")
    document = changed()
    assert document["changed"]
    assert document["diff"]["after"]["files"] == "those of the release"


def starts_with_the_host(containers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what an engine starts when it starts; it does not start what never ran."""
    return [
        name
        for name, container in containers.items()
        if container["HostConfig"]["RestartPolicy"]["Name"] == "always"
        and container["State"]["Status"] != "created"
    ]


def test_at_every_step_of_a_switch_a_host_that_loses_power_starts_a_container_again(
    config: NodeConfig, engine: FakeEngine, ovms: FakeOvms, serving_first: State
) -> None:
    found: dict[str, list[str]] = {}

    def before(call: str) -> bool:
        found[call] = starts_with_the_host(engine.containers)
        return False

    engine.refuse = before
    switch_to(config, engine, ovms, "2").run(serving_first)
    assert list(found) == [
        f"rename {NAME} {ASIDE}",
        f"create {NAME}",
        f"stop {ASIDE}",
        f"start {NAME}",
        f"policy {ASIDE} no",
        f"remove {ASIDE}",
    ]
    assert all(found.values())
    assert found[f"remove {ASIDE}"] == [NAME]
