"""The doctor: for every check something is really broken, and exactly that is found."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.node import cli, doctor_command
from ovms_edge.node.doctor.collect_host import GATEWAY_UNIT
from ovms_edge.node.doctor.evidence import DepotEvidence
from ovms_edge.node.doctor.findings import diagnose
from ovms_edge.node.doctor.table import CHECKS
from ovms_edge.node.gateway import Gateway
from tests.unit.doctor_breaks import BREAKS
from tests.unit.doctor_store import Keys, Store, healthy_store, utc

Change = Callable[[Store], object]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys.made(tmp_path_factory.mktemp("doctor-keys"))


@pytest.fixture
def store(tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with healthy_store(tmp_path, keys, monkeypatch) as found:
        yield found


def test_a_healthy_store_has_no_finding_and_all_is_looked_at(store: Store) -> None:
    diagnosis = store.diagnosis()
    assert diagnosis.findings == ()
    assert {skipped.id for skipped in diagnosis.skipped} <= {"depot.mirror"}
    assert len(diagnosis.passed) + len(diagnosis.skipped) == len(CHECKS)


def test_each_check_has_a_way_to_break_it() -> None:
    assert sorted(BREAKS) == sorted(check.id for check in CHECKS)
    assert len(CHECKS) >= 40


@pytest.mark.parametrize("name", list(BREAKS))
def test_what_is_broken_is_the_one_thing_found_with_its_remedy(store: Store, name: str) -> None:
    breaks, remedy = BREAKS[name]
    breaks(store)
    (finding,) = store.diagnosis().findings
    assert finding.id == name
    assert finding.found
    assert finding.expected
    assert remedy in finding.fix


def _pressure(store: Store) -> None:
    text = (
        "some avg10=90.00 avg60=60.00 avg300=9.00 total=1\nfull avg10=50.00 avg60=40.00 avg300=9.00 total=1\n"
    )
    (store.root / "proc/pressure/memory").write_text(text)


def _no_firmware_loaded(store: Store) -> None:
    store.kernel_says(
        "i915 0000:00:02.0: [drm] *ERROR* GT0: GuC firmware i915/mtl_guc_70.bin: fetch failed -2"
    )


def _seed_graph(store: Store) -> None:
    """The sample of the service's first README: calculators and options that no OVMS of today has."""
    node = """node: {
  calculator: "ModelAPISessionCalculator"
  node_options: { [type.googleapis.com/mediapipe.LLMNodeOptions]: { block_size: 32 cache_size: 32 } }
}
"""
    store.rewrite(store.model / "graph.pbtxt", node)


def _smaller_host(store: Store) -> None:
    store.edit_graph("cache_size: 4", "cache_size: 12")
    store.set_memory(15, 8)


def _silent_depot(store: Store) -> None:
    """Something that takes the connection and never says a word."""
    listener = store.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    path = store.etc / "node.json"
    depot = json.loads(path.read_text())["depot"]
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    store.edit_json(path, depot={**depot, "url": url})


def _hanging_engine(store: Store) -> None:
    store.patch.setattr(store.docker, "info", lambda: time.sleep(20))


def _loop(store: Store) -> None:
    store.container["RestartCount"] = 5
    store.container["State"]["StartedAt"] = utc(30)


def _early_clock(store: Store) -> None:
    store.depot.date = formatdate(time.time() + 900, usegmt=True)


def _no_subnet(store: Store) -> None:
    store.docker.networks["ovms-edge-server"]["IPAM"] = {"Config": []}


def _empty_config(store: Store) -> None:
    store.rewrite(store.generation / "config.json", "{}")


OTHER_WAYS: list[tuple[str, Change, str]] = [
    ("host.memory-pressure", _pressure, "40 %"),
    ("gpu.firmware", _no_firmware_loaded, "fetch failed"),
    ("gpu.driver", lambda store: (store.pci / "uevent").write_text("PCI_CLASS=30000\n"), "no driver"),
    ("engine.network", lambda store: store.docker.networks.clear(), "no Docker network"),
    ("engine.network", _no_subnet, "no subnet"),
    ("engine.running", _hanging_engine, "does not answer"),
    ("host.clock-skew", _early_clock, "behind"),
    ("depot.certificate", _silent_depot, "127.0.0.1"),
    ("depot.ca", lambda store: (store.etc / "depot-ca.pem").unlink(), "127.0.0.1"),
    ("node.config", lambda store: (store.etc / "node.json").unlink(), "node.json"),
    ("gateway.route", lambda store: setattr(store.gateway, "body", b"b"), "'b'"),
    ("gateway.files", lambda store: (store.etc / "gateway/haproxy.cfg").unlink(), "no configuration of ours"),
    ("gateway.files", lambda store: (store.etc / "gateway/gateway.lua").write_text("--\n"), "gateway.lua"),
    ("state.transfer", lambda store: store.paths.transfer.write_text("{"), "damaged"),
    ("model.truncated", lambda store: os.truncate(store.model / "openvino_model.xml", 30), "30 bytes of"),
    ("model.permissions", lambda store: store.model.chmod(0o700), "mode 0700"),
    ("model.cache", lambda store: store.paths.cache.rmdir(), "no "),
    ("config.readable", lambda store: (store.generation / "config.json").unlink(), "no "),
    ("config.servable", _empty_config, "serves nothing"),
    ("graph.format", lambda store: store.rewrite(store.model / "graph.pbtxt", ""), "empty"),
    ("graph.format", lambda store: store.edit_graph("node_options: {", "node_options: ["), "line "),
    ("graph.version", _seed_graph, "ModelAPISessionCalculator"),
    ("graph.cache", _smaller_host, "12"),
    ("graph.cache", lambda store: store.edit_graph("cache_size: 4", "cache_size: 0"), "cache_size is 0"),
    ("graph.drift", lambda store: store.edit_graph('"SyncSetInputStreamHandler"', '"Other"'), "Other"),
    ("container.memory-limit", lambda store: store.set_memory(16, 8), "14.0 GiB"),
    ("container.restarts", _loop, "5 times"),
    (
        "container.hardening",
        lambda store: store.container["HostConfig"].update(Privileged=True),
        "privileged",
    ),
    ("server.servable", lambda store: setattr(store.ovms, "configs", [{}]), "serves nothing"),
]


@pytest.mark.parametrize(
    ("name", "breaks", "said"), OTHER_WAYS, ids=[f"{way[0]} {way[2]}" for way in OTHER_WAYS]
)
def test_it_is_found_however_it_was_broken(store: Store, name: str, breaks: Change, said: str) -> None:
    breaks(store)
    began = time.monotonic()
    (finding,) = store.diagnosis().findings
    assert time.monotonic() - began < 5
    assert finding.id == name
    assert said in f"{finding.found} {finding.expected}"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_comes_after_those_that_it_follows(check: Any) -> None:
    ids = [known.id for known in CHECKS]
    assert ids.count(check.id) == 1
    assert set(check.after) <= set(ids[: ids.index(check.id)])


def test_things_that_are_broken_for_themselves_are_findings_each(store: Store) -> None:
    BREAKS["model.truncated"][0](store)
    BREAKS["depot.login"][0](store)
    BREAKS["container.policy"][0](store)
    assert sorted(store.found()) == ["container.policy", "depot.login", "model.truncated"]


def test_what_follows_from_a_finding_names_it(store: Store) -> None:
    """OVMS with a truncated model: not loaded, the gate said no, the unit failed, requests are held."""
    followers = ("server.load", "server.gate", "units.tend", "gateway.route")
    for name in ("model.truncated", *followers):
        BREAKS[name][0](store)
    diagnosis = store.diagnosis()
    assert [finding.id for finding in diagnosis.findings] == ["model.truncated"]
    waiting = {skipped.id for skipped in diagnosis.skipped if skipped.waits_for == "model.truncated"}
    assert set(followers) <= waiting


def test_a_bare_host_is_one_that_was_never_set_up(store: Store) -> None:
    shutil.rmtree(store.etc)
    shutil.rmtree(store.paths.root)
    BREAKS["engine.installed"][0](store)
    store.units.clear()
    assert store.found() == ["node.set-up"]


def test_damaged_settings_hide_nothing_that_needs_none(store: Store) -> None:
    for name in ("node.config", "engine.live-restore", "host.oom"):
        BREAKS[name][0](store)
    assert store.found() == ["node.config", "host.oom", "engine.live-restore"]


def test_a_container_s_kernel_is_not_judged(store: Store) -> None:
    names = {"gpu.hang", "gpu.wedged", "host.oom", "gpu.firmware", "host.kernel-modules"}
    store.in_container = True
    for name in names:
        BREAKS[name][0](store)
    diagnosis = store.diagnosis()
    assert diagnosis.findings == ()
    assert names <= {skipped.id for skipped in diagnosis.skipped if skipped.waits_for is None}


def test_the_kernel_s_log_counts_for_a_day(store: Store) -> None:
    BREAKS["gpu.hang"][0](store)
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    store.patch.setattr(time, "clock_gettime", lambda _: now + 25 * 3600)
    assert store.found() == []


def test_on_a_cpu_no_gpu_is_missed(store: Store) -> None:
    store.redeploy(device="CPU")
    shutil.rmtree(store.pci)
    store.docker.log = ["Available devices for Open VINO: CPU"]
    assert store.found() == []


@pytest.mark.parametrize("name", ["container.exists", "container.running", "server.answers", "gateway.route"])
def test_what_a_switch_is_changing_is_not_judged(store: Store, name: str) -> None:
    BREAKS[name][0](store)
    store.hold_lock("activate vlm@2.0.0 --server -")
    assert store.found() == []
    assert "activate vlm@2.0.0" in str(store.diagnosis().skipped)


def test_what_looks_after_the_store_is_no_switch(store: Store) -> None:
    BREAKS["container.exists"][0](store)
    store.hold_lock("tend")
    assert store.found() == ["container.exists"]


def test_a_lock_that_nobody_holds_any_more_is_no_switch(store: Store) -> None:
    BREAKS["container.exists"][0](store)
    store.hold_lock("activate vlm@2.0.0")
    shutil.rmtree(store.root / "proc/77/fd")
    assert store.found() == ["container.exists"]


def test_a_model_has_time_to_load(store: Store) -> None:
    store.container["State"]["StartedAt"] = utc(20)
    store.ovms.configs = [{}]
    store.ovms.answers["/v3/models"] = (200, b'{"data": []}')
    store.gateway.body = b"down"
    assert store.found() == []
    store.container["State"]["StartedAt"] = utc(900)
    assert store.found() == ["server.servable"]


def test_a_certificate_that_ended_is_renewed_where_it_is(store: Store) -> None:
    seen = DepotEvidence(store.depot.url, step="certificate", fault="certificate has expired")
    (finding,) = diagnose(CHECKS, replace(store.evidence(), depot=seen)).findings
    assert finding.id == "depot.certificate"
    assert finding.fix.startswith("renew it at the depot")


def test_a_gate_of_a_release_that_was_refused_is_not_that_of_the_active_one(store: Store) -> None:
    store.paths.gate.write_text(json.dumps({"ok": False, "at": utc(9), "release": "vlm@2.0.0"}))
    assert store.found() == []


def test_a_log_that_takes_too_long_is_the_only_thing_missing(store: Store) -> None:
    store.patch.setattr(store.docker, "log_lines", lambda *_, **__: time.sleep(20))
    diagnosis = store.diagnosis()
    assert diagnosis.findings == ()
    assert "server.device" in {skipped.id for skipped in diagnosis.skipped}


def test_a_gateway_that_hangs_does_not_answer(store: Store) -> None:
    store.patch.setattr(Gateway, "answer", lambda _: time.sleep(20))
    assert store.found() == ["gateway.answers"]


def test_nothing_is_changed(store: Store) -> None:
    def seen() -> list[tuple[str, int, int, int]]:
        paths = [path for top in (store.etc, store.paths.root) for path in (top, *sorted(top.rglob("*")))]
        return [
            (str(path), stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
            for path in paths
            for stat in [path.lstat()]
        ]

    before = seen()
    store.diagnosis()
    assert seen() == before


def test_warnings_alone_are_no_failure(store: Store) -> None:
    BREAKS["image.pinned"][0](store)
    document = doctor_command.document_of(store.diagnosis(), 0.5)
    assert document["ok"] is True
    assert [finding["id"] for finding in document["findings"]] == ["image.pinned"]


@pytest.fixture
def called(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``ovms-node doctor`` on the store, by root."""
    monkeypatch.setattr(doctor_command, "collect", lambda *_: store.evidence())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return lambda *words: cli.main(["doctor", *words])


def test_the_document_names_check_values_fix_and_severity(
    store: Store, called: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    BREAKS["container.running"][0](store)
    assert called("--json") == 1
    document = json.loads(capsys.readouterr().out)
    (finding,) = document["findings"]
    assert set(finding) == {"id", "severity", "found", "expected", "fix"}
    assert (finding["id"], finding["severity"]) == ("container.running", "error")
    assert document["ok"] is False
    assert "container.running" in document["reason"]


def test_the_table_is_for_a_person(
    store: Store, called: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    BREAKS["gateway.port"][0](store)
    assert called() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["error", "gateway.port"]
    assert lines[2] == f"  fix       systemctl stop menu.service; systemctl restart {GATEWAY_UNIT}"
    assert ", 1 finding" in lines[-1]


def test_a_healthy_store_ends_with_zero(
    called: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert called() == 0
    assert capsys.readouterr().out.startswith(f"{len(CHECKS) - 1} checks passed, no finding")


def test_only_some_checks_may_be_asked_for(
    store: Store, called: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    BREAKS["container.running"][0](store)
    assert called("--only", "gpu.present", "depot.login", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["findings"], document["skipped"], document["passed"]) == ([], [], 2)


def test_the_list_names_every_check_and_looks_at_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_command, "collect", None)
    assert cli.main(["doctor", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [check.id for check in CHECKS]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "gpu.presnt"], "did you mean gpu.present?"),
        (["--list", "--only", "gpu.hang"], "not allowed"),
    ],
)
def test_a_wrong_call_ends_with_two(
    called: Callable[..., int], capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    try:
        status = called(*words)
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status == 2
    assert said in capsys.readouterr().err


def test_a_user_who_may_not_look_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli.main(["doctor"]) == 2
    assert "as root" in capsys.readouterr().err
