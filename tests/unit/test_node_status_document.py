from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.node import status_document as module
from ovms_edge.node.config import DepotServer, NodeConfig, Trust, load_node_config
from ovms_edge.node.lock import exclusive
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.run import run_id
from ovms_edge.node.state import SCHEMA, State, load_state, record
from ovms_edge.node.status_document import METRICS_FILE, remember_gate, status_document, write_status
from tests.unit import prometheus_text as reader
from tests.unit.node_depot import manifest_of

SERVER = {"container": "running", "restarts": 0, "state": "AVAILABLE", "error_code": "OK"}
REPORT: dict[str, Any] = {
    "ok": True,
    "release": "vlm@1",
    "servable": "s",
    "warm_up_seconds": 3.0,
    "first_token_seconds": 0.2,
    "total_seconds": 1.5,
    "answers": [{"id": "x"}],
    "checks": [],
}
NODE = {"schema": 1, "depot": {"url": "https://depot.example:5000"}}
DEPLOYMENT = {
    "release": "vlm@1",
    "servable": "s",
    "settings": {"image": "i", "device": "CPU"},
    "spec": "spec",
    "generation": "1-spec",
    "since": "2026-01-01T00:00:00Z",
    "summary": {"release": "vlm@1", "image": "i", "device": "CPU", "cache_size": 2, "tier": "B"},
    "slot": "b",
    "devices": [],
    "container_started": "t",
}


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    textfiles = tmp_path / "textfiles"
    textfiles.mkdir()
    return NodeConfig(
        tmp_path / "state",
        tmp_path,
        DepotServer("https://depot.example"),
        Trust(tmp_path / "signers"),
        textfile_directory=textfiles,
    )


@pytest.fixture
def paths(config: NodeConfig) -> StatePaths:
    config.state_dir.mkdir()
    return StatePaths(config.state_dir)


def state_of(paths: StatePaths, **parts: Any) -> State:
    document = {"schema": SCHEMA, **dict.fromkeys(("active", "previous", "pending")), "failed": [], **parts}
    paths.state.write_text(json.dumps(document))
    return load_state(paths.state)


def status(config: NodeConfig, state: State | None = None) -> dict[str, Any]:
    return status_document(config, state or State(), SERVER, "b")


def test_a_bare_node_has_a_status(config: NodeConfig) -> None:
    document = status_document(config, State(), None, None)
    assert document["ok"]
    assert document["run"] == run_id()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["at"])
    nothing = ("active", "previous", "pending", "route", "server", "gate")
    assert [document[key] for key in nothing] == [None] * len(nothing)
    assert (document["failed"], document["releases"], document["switches"]["last"]) == ([], [], [])
    assert document["disk"]["total_bytes"] >= document["disk"]["free_bytes"] > 0
    assert not config.state_dir.exists()


def test_the_status_says_what_serves_and_nothing_of_its_settings(
    config: NodeConfig, paths: StatePaths
) -> None:
    state = state_of(paths, active=DEPLOYMENT, previous={**DEPLOYMENT, "release": "vlm@0"})
    document = status(config, state)
    active = document["active"]
    assert (active["release"], active["servable"], active["since"]) == ("vlm@1", "s", "2026-01-01T00:00:00Z")
    assert (active["slot"], active["tier"], active["summary"]["cache_size"]) == ("b", "B", 2)
    assert not {"settings", "spec", "times"} & set(active)
    assert document["previous"]["release"] == "vlm@0"
    assert (document["server"], document["route"]) == (SERVER, "b")


def test_a_switch_under_way_is_told(config: NodeConfig, paths: StatePaths) -> None:
    pending = {
        "release": "vlm@2",
        "spec": "x",
        "generation": "2-x",
        "started": "2026-01-01T00:00:00Z",
        "slot": "a",
    }
    document = status(config, state_of(paths, pending=pending))
    assert document["pending"] == pending


def test_what_failed_here_is_told(config: NodeConfig, paths: StatePaths) -> None:
    failure = {"release": "vlm@2", "reason": "late", "at": "2026-01-01T00:00:00Z"}
    assert status(config, state_of(paths, failed=[{**failure, "spec": "x"}]))["failed"] == [failure]


def test_staged_releases_are_told(config: NodeConfig, paths: StatePaths) -> None:
    manifest = manifest_of({"a.bin": b"weights"})
    directory = paths.release(manifest.ref)
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_bytes(manifest.to_bytes())
    assert status(config)["releases"] == [{"release": str(manifest.ref), "bytes": 7}]


def test_the_last_gate_is_remembered(config: NodeConfig, paths: StatePaths) -> None:
    remember_gate(paths, REPORT)
    gate = status(config)["gate"]
    assert gate == {
        "at": gate["at"],
        "ok": True,
        "reason": None,
        "release": "vlm@1",
        "warm_up_seconds": 3.0,
        "first_token_seconds": 0.2,
        "total_seconds": 1.5,
        "passed_at": gate["at"],
    }


def test_a_gate_that_fails_keeps_when_one_passed(
    config: NodeConfig, paths: StatePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "utc_now", lambda: "2026-01-01T00:00:00Z")
    remember_gate(paths, REPORT)
    monkeypatch.setattr(module, "utc_now", lambda: "2026-01-02T00:00:00Z")
    remember_gate(paths, {**REPORT, "ok": False, "reason": "late", "remedy": "look"})
    gate = status(config)["gate"]
    assert (gate["ok"], gate["reason"]) == (False, "late")
    assert (gate["at"], gate["passed_at"]) == ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": "x"}'])
def test_a_damaged_gate_file_is_named_and_made_anew(
    config: NodeConfig, paths: StatePaths, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    paths.gate.write_text(text)
    assert status(config)["gate"] is None
    assert f"{paths.gate} is damaged" in capsys.readouterr().err
    remember_gate(paths, REPORT)
    assert status(config)["gate"]["ok"]


def test_what_monitoring_reads_is_written_for_everybody_to_read(
    config: NodeConfig, paths: StatePaths
) -> None:
    record(paths.journal, "activated", release="vlm@1")
    write_status(config, lambda: status(config, state_of(paths, active=DEPLOYMENT)))
    written = json.loads(paths.status_file.read_text())
    assert written["active"]["release"] == "vlm@1"
    assert written["switches"]["counts"]["activated"] == 1
    assert config.textfile_directory
    metrics = config.textfile_directory / METRICS_FILE
    assert reader.read(metrics.read_text())["ovms_edge_server_available"].samples == {(): 1}
    for path in (paths.status_file, metrics):
        assert path.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in config.textfile_directory.iterdir()] == [METRICS_FILE]


def test_no_textfile_directory_is_no_metrics(tmp_path: Path) -> None:
    config = NodeConfig(tmp_path / "s", tmp_path, DepotServer("https://d"), Trust(tmp_path / "signers"))
    write_status(config, lambda: status(config))
    assert (tmp_path / "s/status.json").exists()
    assert not list(tmp_path.rglob("*.prom"))


def test_a_textfile_directory_that_is_not_there_is_logged_and_keeps_nothing_else(
    config: NodeConfig, paths: StatePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    assert config.textfile_directory
    config.textfile_directory.rmdir()
    write_status(config, lambda: status(config))
    assert paths.status_file.exists()
    said = capsys.readouterr().err
    assert (
        f"no metrics in {config.textfile_directory}: No such file or directory; install node_exporter" in said
    )


def test_a_state_directory_that_cannot_be_written_fails_nothing(
    config: NodeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config.state_dir.write_text("a file")
    write_status(config, lambda: status(config))
    remember_gate(StatePaths(config.state_dir), REPORT)
    said = capsys.readouterr().err
    assert "monitoring does not see this" in said
    assert "the gate before" in said


def test_a_status_that_cannot_be_made_fails_nothing(
    config: NodeConfig, paths: StatePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Mapping[str, Any]:
        raise EdgeError("state.json is damaged", "move it away")

    write_status(config, broken)
    assert not paths.status_file.exists()
    assert "monitoring does not see this: state.json is damaged; move it away" in capsys.readouterr().err


def test_two_writers_do_not_mix(
    config: NodeConfig, paths: StatePaths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.2)
    with exclusive(paths.status_lock, 0):
        write_status(config, lambda: status(config))
    assert not paths.status_file.exists()
    assert "another ovms-node works here" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "read"), [(None, None), ("/textfiles", Path("/textfiles"))])
def test_a_textfile_directory_may_be_set(tmp_path: Path, given: str | None, read: Path | None) -> None:
    path = tmp_path / "node.json"
    path.write_text(json.dumps({**NODE, "textfile_directory": given}))
    assert load_node_config(path).textfile_directory == read


@pytest.mark.parametrize(
    ("given", "reason"),
    [("", "textfile_directory is ''; set it to a path"), ("here", "is 'here'; set it to an absolute path")],
)
def test_a_wrong_textfile_directory_is_refused(tmp_path: Path, given: str, reason: str) -> None:
    path = tmp_path / "node.json"
    path.write_text(json.dumps({**NODE, "textfile_directory": given}))
    with pytest.raises(EdgeError, match=reason):
        load_node_config(path)
