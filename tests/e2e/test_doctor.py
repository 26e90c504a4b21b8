"""The doctor on one real store: nothing to find, then one thing after another broken, found and mended."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.switch_store import SwitchStore, lab_store

pytestmark = pytest.mark.lab

MOST_SECONDS = 5.0
NODE_JSON = "/etc/ovms-edge/node.json"
CA = "/etc/ovms-edge/depot-ca.pem"
RENDER = "/dev/dri/renderD128"
GRAPH = "$generation/Qwen/*/graph.pbtxt"
WEIGHTS = "$generation/Qwen/*/openvino_language_model.bin"
# What heals the store by itself, each half minute, is kept from it: at its hour it is not meanwhile.
RARELY = """
directory=/etc/systemd/system/ovms-edge-tend.timer.d
mkdir -p $directory
printf '[Timer]\\nOnUnitInactiveSec=\\nOnUnitInactiveSec=1h\\n' > $directory/rarely.conf
systemctl daemon-reload
systemctl restart ovms-edge-tend.timer
systemctl start ovms-edge-tend.service
"""
# The test's words, after the names that they use.
NAMES = """
set -eu
of() {
    python3 -c "import json; print(json.load(open('/var/lib/ovms-edge/state.json'))['active']['$1'])"
}
server=ovms-vlm-$(of slot)
generation=/var/lib/ovms-edge/models/$(of generation)
"""
SNAPSHOT = "find /etc /var/lib/ovms-edge -printf '%p %i %m %s %T@ %C@\\n' | sort"


@dataclass(frozen=True)
class Broken:
    """``mend`` empty: the finding's own fix is what mends it."""

    check: str
    how: str
    mend: str = ""


def _kept(check: str, file: str, how: str) -> Broken:
    """Return what changes ``file``, which is put back as it was: no model has to be loaded again for that."""
    find = f"file=$(echo {file}); kept=/root/kept-$(basename $file)"
    return Broken(check, f"{find}; cp -p $file $kept; {how}", f"{find}; mv $kept $file")


BROKEN = (
    Broken("container.running", "docker stop $server"),
    Broken("model.permissions", f"chmod 0600 {WEIGHTS}"),
    Broken("model.truncated", f"truncate --size 1000 {WEIGHTS}"),
    _kept("graph.drift", GRAPH, "sed -i 's/max_num_seqs: 1/max_num_seqs: 64/' $file"),
    _kept("graph.format", GRAPH, """echo '{"input_stream": "x"}' | tee $file"""),
    _kept("graph.cache", GRAPH, "sed -i 's/cache_size: .*/cache_size: 64/' $file"),
    _kept("config.servable", "$generation/config.json", 'sed -i \'s/"name": .*/"name": "Qwen2-VL",/\' $file'),
    Broken("server.reload", f"touch {GRAPH}"),
    Broken("container.render-gid", f"chgrp 654 {RENDER}"),
    Broken("gpu.render-mode", f"chmod 0600 {RENDER}"),
    Broken("gateway.running", "systemctl stop ovms-edge-gateway"),
    Broken(
        "gateway.port",
        "systemctl stop ovms-edge-gateway; systemd-run -q --unit=squatter python3 -m http.server 8002; "
        "until ss -ltn | grep -q :8002; do sleep 0.1; done; systemctl start --no-block ovms-edge-gateway; "
        "until systemctl show -p NRestarts --value ovms-edge-gateway | grep -q [1-9]; do sleep 0.1; done",
    ),
    _kept("gateway.files", "/etc/ovms-edge/gateway/haproxy.cfg", "echo '# by hand' >> $file"),
    Broken("engine.running", "systemctl stop docker.socket docker.service"),
    Broken("units.timer", "systemctl disable -q --now ovms-edge-tend.timer"),
    Broken("units.failed", "systemd-run -q --wait --unit=menu false || true", "systemctl reset-failed menu"),
    _kept("host.dns", NODE_JSON, "sed -i 's#https://[^\"]*#https://depot.invalid:5000#' $file"),
    _kept("depot.certificate", CA, "cp /root/other.pem $file"),
    _kept("node.config", NODE_JSON, "truncate --size 9 $file"),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwitchStore]:
    directory = tmp_path_factory.mktemp("doctor")
    with lab_store("doctor-tests", directory / "inventory") as found:
        found.put("/root/other.pem", _other_authority(directory))
        found.shell(RARELY)
        yield found


def _other_authority(directory: Path) -> str:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=other")
    argv = ("openssl", "req", "-x509", *curve, "-days", "30", "-out", "ca", "-keyout", "key")
    subprocess.run(argv, cwd=directory, check=True, capture_output=True)
    return (directory / "ca").read_text()


def findings(store: SwitchStore) -> list[dict[str, str]]:
    document: dict[str, Any] = store.node("doctor")
    assert document["seconds"] < MOST_SECONDS, document
    found: list[dict[str, str]] = document["findings"]
    return found


def test_a_healthy_store_shows_no_finding(store: SwitchStore) -> None:
    document = store.node("doctor")
    assert document["findings"] == []
    assert document["seconds"] < MOST_SECONDS
    # of what a lab cannot have: a kernel of its own, mirrors, a certificate of the gateway
    assert [skipped for skipped in document["skipped"] if skipped["waits_for"]] == []


def test_it_changes_nothing_and_waits_for_no_lock(store: SwitchStore) -> None:
    locks = "flock /var/lib/ovms-edge/lock flock /var/lib/ovms-edge/serve.lock"
    before = store.shell(SNAPSHOT)
    store.shell(f"{locks} timeout 30 ovms-node doctor")  # it would wait for as long as it is held
    assert store.shell(SNAPSHOT) == before


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.check)
def test_what_is_broken_is_found_and_its_remedy_mends_it(store: SwitchStore, broken: Broken) -> None:
    store.shell(f"{NAMES}{broken.how}")
    try:
        (finding,) = findings(store)
        assert finding["id"] == broken.check
    finally:
        store.shell(f"{NAMES}{broken.mend or finding['fix']}")
    assert findings(store) == []


def test_the_playbook_shows_the_fleet_and_fails_for_an_error(store: SwitchStore, tmp_path: Path) -> None:
    report = tmp_path / "doctor.json"
    well = store.playbook("playbooks/doctor.yml", doctor_file=str(report))
    assert well.status == 0, well.output
    assert "1 of 1 stores have no error; 0 errors, 0 warnings" in well.output
    assert json.loads(report.read_text())["stores"][0]["findings"] == []
    store.shell(f"{NAMES}docker update --restart no $server")
    try:
        ill = store.playbook("playbooks/doctor.yml", "--check", doctor_file=str(report))
    finally:
        store.shell(f"{NAMES}docker update --restart always $server")
    assert ill.status != 0
    assert f"{store.name}  error     container.policy  restart policy no" in ill.output
    assert "fix: docker update --restart always ovms-vlm-" in ill.output
    assert json.loads(report.read_text())["ok"] is True, "--check writes no report"
