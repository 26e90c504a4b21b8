"""Switching with real files and real HTTP answers; the engine is an object that keeps containers."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, SIGNATURE_FILE, ReleaseRef
from ovms_edge.node import activate as activate_module
from ovms_edge.node import prepare as prepare_module
from ovms_edge.node import server as server_module
from ovms_edge.node import switch as switch_module
from ovms_edge.node.activate import Request, activate
from ovms_edge.node.container import Host, desired_server
from ovms_edge.node.context import Node
from ovms_edge.node.docker import Docker
from ovms_edge.node.failures import ActivationError
from ovms_edge.node.gate_report import Target
from ovms_edge.node.releases import StagedRelease, staged_release
from ovms_edge.node.server import target_of
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.node.state import State, load_state, save_state
from ovms_edge.node.switch import Switch
from ovms_edge.node.tend import tend
from ovms_edge.ovms.memory import Tier
from tests.unit.node_depot import manifest_of
from tests.unit.node_engine import FakeEngine, PowerCutError, make_node
from tests.unit.node_ovms import SERVABLE, FakeOvms, config_entry, events, serve

A, B = "ovms-vlm-a", "ovms-vlm-b"
CHAT = "/v3/chat/completions"
TIERS: tuple[Tier, ...] = ("A", "B")


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def ovms() -> Iterator[FakeOvms]:
    answers = {"/v3/models": (200, b'{"data":[{"id":"Qwen/tiny"}]}'), CHAT: (200, events("red"))}
    with serve(FakeOvms(configs=[config_entry()], answers=answers)) as fake:
        yield fake


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: FakeEngine, ovms: FakeOvms) -> Node:
    # only root may give the cache to the container's user
    monkeypatch.setattr(prepare_module, "make_cache", lambda paths: paths.cache)
    monkeypatch.setattr(activate_module, "verify_release", lambda release, trust: None)
    monkeypatch.setattr(server_module, "drained", lambda *_: True)
    return make_node(tmp_path, engine, f"http://127.0.0.1:{ovms.port}")


def staged(node: Node, version: str) -> StagedRelease:
    files = {"a.bin": version.encode()}
    manifest = manifest_of(files, version)
    directory = node.paths.release(manifest.ref)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "a.bin").write_bytes(files["a.bin"])
    (directory / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    (directory / SIGNATURE_FILE).write_bytes(b"not looked at here")
    found = staged_release(node.paths, manifest.ref)
    assert found
    return found


def settings_for(tier: Tier | None = "A", **changes: Any) -> dict[str, Any]:
    device = {"image": "i:1", "servable": SERVABLE, "device": "CPU", "start_timeout_seconds": 1}
    return {**device, "tier": tier, **changes}


def switch_to(node: Node, version: str, tier: Tier | None = "A", **changes: Any) -> Switch:
    release = staged(node, version)
    settings = parse_server_settings(settings_for(tier, **changes))
    desired = desired_server(settings, release.manifest, Host(32 << 30, None, node.gateway.network))
    return Switch(node, desired, release)


def state_of(node: Node) -> State:
    return load_state(node.paths.state)


@pytest.fixture
def serving_first(node: Node, engine: FakeEngine) -> State:
    """vlm@1 serves, in slot a."""
    assert switch_to(node, "1").run(State()).changed
    assert node.gateway.route() == "a"
    engine.calls.clear()
    return state_of(node)


def test_the_tier_is_remembered(node: Node, serving_first: State) -> None:
    assert serving_first.active
    assert target_of(node, serving_first.active).tier == "A"


STEPS = {
    "A": [
        *(f"create {B}", f"shares {B} 128", f"start {B}", f"shares {B} 1024"),
        *(f"policy {A} no", f"policy {B} always", "route b", f"remove {A}"),
    ],
    "B": [
        *(f"create {B}", "route hold", f"stop {A}", f"start {B}", f"policy {A} no", f"policy {B} always"),
        *("route b", f"remove {A}"),
    ],
}


@pytest.mark.parametrize("tier", TIERS)
def test_the_new_container_takes_the_other_slot(
    node: Node, engine: FakeEngine, serving_first: State, tier: Tier
) -> None:
    outcome = switch_to(node, "2", tier).run(serving_first)
    assert (outcome.changed, outcome.tier, outcome.gate.ok) == (True, tier, True)
    assert engine.calls == STEPS[tier]
    assert engine.running() == [B]
    state = state_of(node)
    assert state.active
    assert (state.active.release, state.active.slot, state.pending) == ("vlm@2", "b", None)
    assert state.previous == serving_first.active
    held = ["held"] if tier == "B" else []
    assert [step for step in outcome.steps if step in ("held", "routed")] == [*held, "routed"]


def test_a_model_that_does_not_get_to_load_beside_the_other_becomes_its_equal(
    node: Node, engine: FakeEngine, ovms: FakeOvms, serving_first: State
) -> None:
    loading = config_entry(state="LOADING")
    ovms.configs[:] = [config_entry()] + [loading] * 4 + [config_entry()]
    equal_after: list[int] = []
    real = engine.set_cpu_shares

    def watched(name: str, shares: int) -> None:
        if shares == 1024:
            equal_after.append(len(ovms.configs))
        real(name, shares)

    engine.set_cpu_shares = watched  # type: ignore[method-assign]
    assert switch_to(node, "2", start_timeout_seconds=3).run(serving_first).changed
    assert len(equal_after) == 1
    assert equal_after[0] > 1, "before it was loaded"


def only_second_fails(ovms: FakeOvms, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let OVMS answer as another model while the container of vlm@2 is asked."""
    real = server_module.run_gate

    def gate(docker: Docker, target: Target, wait_seconds: float, **beside: Any) -> object:
        good = target.manifest.version != "2"
        ovms.answers[CHAT] = (200, events("red", model=SERVABLE if good else "other"))
        return real(docker, target, wait_seconds, **beside)

    monkeypatch.setattr(server_module, "run_gate", gate)


def failed(node: Node, state: State, tier: Tier) -> ActivationError:
    with pytest.raises(ActivationError) as caught:
        switch_to(node, "2", tier).run(state)
    return caught.value


@pytest.mark.parametrize("tier", TIERS)
def test_a_gate_that_says_no_leaves_the_old_release_serving(
    node: Node,
    engine: FakeEngine,
    ovms: FakeOvms,
    serving_first: State,
    monkeypatch: pytest.MonkeyPatch,
    tier: Tier,
) -> None:
    only_second_fails(ovms, monkeypatch)
    error = failed(node, serving_first, tier)
    assert "came from 'other'" in error.reason
    assert (error.document["serving"], error.document["changed"]) == ("vlm@1", False)
    assert error.document["memory"]["container_bytes"] == 1 << 30
    assert engine.running() == list(engine.containers) == [A]
    assert engine.containers[A]["HostConfig"]["RestartPolicy"] == {"Name": "always"}
    assert node.gateway.route() == "a"
    state = state_of(node)
    assert (state.active, state.previous, state.pending) == (serving_first.active, None, None)
    (failure,) = state.failed
    assert (failure.release, "came from 'other'" in failure.reason) == ("vlm@2", True)


def request(version: str, again: bool = False) -> Request:
    return Request(ReleaseRef("vlm", version), parse_server_settings(settings_for()), again)


def test_what_failed_here_is_tried_again_only_if_told_to(
    node: Node, engine: FakeEngine, ovms: FakeOvms, serving_first: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activate_module, "memory_bytes", lambda: (32 << 30, 0))
    only_second_fails(ovms, monkeypatch)
    staged(node, "2")
    with pytest.raises(ActivationError):
        activate(node, request("2"), check=False)
    engine.calls.clear()
    with pytest.raises(EdgeError, match=r"vlm@2 failed here before, on .*came from 'other'") as refused:
        activate(node, request("2"), check=False)
    assert "--retry" in refused.value.remedy
    assert engine.calls == []
    monkeypatch.undo()
    monkeypatch.setattr(activate_module, "memory_bytes", lambda: (32 << 30, 0))
    monkeypatch.setattr(activate_module, "verify_release", lambda release, trust: None)
    monkeypatch.setattr(prepare_module, "make_cache", lambda paths: paths.cache)
    monkeypatch.setattr(server_module, "drained", lambda *_: True)
    ovms.answers[CHAT] = (200, events("red"))
    assert activate(node, request("2", again=True), check=False)["changed"]
    assert state_of(node).failed == ()


def test_the_old_container_serves_on_even_where_state_json_was_lost(
    node: Node, engine: FakeEngine, ovms: FakeOvms, serving_first: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_second_fails(ovms, monkeypatch)
    error = failed(node, State(), "B")
    assert "came from 'other'" in error.reason
    assert engine.containers[A]["Config"]["Labels"]["ovms-edge.release"] == "vlm@1"
    assert engine.running() == [A]
    assert node.gateway.route() == "a"
    assert error.document["serving"] is None, "no gate is on record for it"


@pytest.mark.parametrize("lost", [f"start {A}", f"remove {B}", "its release is gone"])
def test_an_error_on_the_way_back_does_not_replace_the_gate_s_reason(
    node: Node,
    engine: FakeEngine,
    ovms: FakeOvms,
    serving_first: State,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
) -> None:
    only_second_fails(ovms, monkeypatch)
    engine.refuse = lambda call: call == lost
    if lost == "its release is gone":
        (node.paths.releases / "vlm" / "1" / MANIFEST_FILE).unlink()
    error = failed(node, serving_first, "B")
    assert "came from 'other'" in error.reason
    assert error.document["serving"] == ("vlm@1" if lost == f"remove {B}" else None)
    assert error.document["log_tail"] == ["Available devices for Open VINO: CPU"]
    assert error.document["gate"]["checks"][-1]["id"] == "answer"
    assert (state_of(node).pending, state_of(node).active) == (None, serving_first.active)
    engine.refuse = lambda call: False
    if lost != "its release is gone":
        assert tend(node)["ok"]
    assert engine.running() == [A]
    assert node.gateway.route() == "a"


def test_requests_that_do_not_end_keep_their_server(
    node: Node, engine: FakeEngine, serving_first: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "drained", lambda *_: False)
    error = failed(node, serving_first, "B")
    assert f"requests to {A} did not end within 360 s" in error.reason
    assert error.document["serving"] == "vlm@1"
    assert f"stop {A}" not in engine.calls
    assert (engine.running(), node.gateway.route()) == ([A], "a")
    assert state_of(node).failed == (), "that was not the release's fault"


def test_what_the_disk_refuses_takes_the_way_back_too(
    node: Node, engine: FakeEngine, serving_first: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = switch_to(node, "2")

    def full(path: Path, state: State) -> None:
        if state.active and state.active.release == "vlm@2":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        save_state(path, state)

    monkeypatch.setattr(switch_module, "save_state", full)
    with pytest.raises(ActivationError, match=r"No space left on device: .*state\.json") as caught:
        second.run(serving_first)
    assert caught.value.document["serving"] == "vlm@1"
    assert engine.running() == list(engine.containers) == [A]
    assert state_of(node).failed == ()


def mended(node: Node, version: str) -> Path:
    """Give the release's file another inode, as ``stage --verify`` does."""
    path = node.paths.releases / "vlm" / version / "a.bin"
    new = path.with_name("new")
    new.write_bytes(path.read_bytes())
    new.rename(path)
    return path


def inode_served(node: Node) -> int:
    active = state_of(node).active
    assert active
    return (node.paths.models / active.generation / SERVABLE / "a.bin").stat().st_ino


def test_a_container_is_started_anew_on_the_files_that_stage_mended(
    node: Node, engine: FakeEngine, serving_first: State
) -> None:
    again = switch_to(node, "1")
    path = mended(node, "1")
    assert inode_served(node) != path.stat().st_ino
    outcome = again.run(serving_first)
    assert (outcome.changed, outcome.gate.ok) == (True, True)
    assert engine.calls == ["route hold", f"stop {A}", f"start {A}", f"policy {A} always", "route a"]
    assert inode_served(node) == path.stat().st_ino
    assert not switch_to(node, "1").run(state_of(node)).changed


def test_a_container_whose_files_cannot_be_mended_serves_on(
    node: Node, engine: FakeEngine, serving_first: State
) -> None:
    again = switch_to(node, "1")
    mended(node, "1")
    engine.internal = False
    with pytest.raises(EdgeError, match="lets containers out"):
        again.run(serving_first)
    assert (engine.running(), node.gateway.route()) == ([A], "a")


def test_activate_sees_that_what_serves_has_not_the_release_s_files(
    node: Node, serving_first: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activate_module, "memory_bytes", lambda: (32 << 30, 0))
    assert not activate(node, request("1"), check=True)["changed"]
    mended(node, "1")
    document = activate(node, request("1"), check=True)
    assert document["changed"]
    assert document["diff"]["after"]["files"] == "those of the release"


def test_a_container_that_hangs_is_made_anew(
    node: Node, engine: FakeEngine, ovms: FakeOvms, serving_first: State
) -> None:
    ovms.configs[:] = [{}] * 5 + [config_entry()]  # the first gate waits its second in vain
    outcome = switch_to(node, "1").run(serving_first)
    assert (outcome.changed, outcome.tier) == (True, "B")
    assert engine.running() == [B]


def test_a_boot_without_the_release_s_files_gives_requests_back_and_says_so(
    node: Node, engine: FakeEngine, serving_first: State
) -> None:
    assert serving_first.active
    shutil.rmtree(node.paths.release(ReleaseRef.parse(serving_first.active.release)))
    node.gateway.route_file.unlink()
    engine.boot()
    with pytest.raises(EdgeError, match="vlm@1 serves but is no longer on this node"):
        tend(node)
    assert node.gateway.route() == "a"
    assert engine.running() == [A]


@pytest.mark.parametrize("boots", [False, True], ids=["process killed", "power cut"])
@pytest.mark.parametrize("good", [True, False], ids=["good release", "bad release"])
@pytest.mark.parametrize("tier", TIERS)
def test_wherever_a_switch_is_cut_off_the_next_call_ends_in_old_or_new(
    node: Node,
    engine: FakeEngine,
    ovms: FakeOvms,
    serving_first: State,
    monkeypatch: pytest.MonkeyPatch,
    tier: Tier,
    good: bool,
    boots: bool,
) -> None:
    """Every call of the engine, every route and every write of state.json is a place to be cut off at."""
    if not good:
        only_second_fails(ovms, monkeypatch)
    places = 0

    def saved(path: Path, state: State) -> None:
        engine.called("save", "state.json")
        save_state(path, state)

    for module in ("switch", "back", "settle"):
        monkeypatch.setattr(f"ovms_edge.node.{module}.save_state", saved)

    def cut_off_at(place: int) -> bool:
        engine.calls.clear()
        engine.refuse = lambda call: cut(len(engine.calls) > place)
        try:
            switch_to(node, "2", tier).run(state_of(node))
        except PowerCutError:
            return True
        except ActivationError:
            return False
        finally:
            engine.refuse = lambda call: False
        return False

    while cut_off_at(places):
        places += 1
        if boots:
            node.gateway.route_file.unlink(missing_ok=True)
            engine.boot()
            assert len(engine.running()) <= 1 or tier == "A"
        assert tend(node)["ok"], f"after {places} calls"
        state = state_of(node)
        assert state.active
        name = f"ovms-vlm-{state.active.slot}"
        assert engine.running() == list(engine.containers) == [name]
        assert node.gateway.health() == state.active.slot
        assert state.pending is None
        assert not tend(node)["changed"]
        # back to where the next one begins
        switch_to(node, "1").run(state_of(node))
        save_state(node.paths.state, State(active=state_of(node).active))
    assert places >= len(STEPS[tier])


def cut(now: bool) -> bool:
    if now:
        raise PowerCutError
    return False
