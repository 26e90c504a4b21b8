"""Whatever the way to a real registry does: a release that differs by a bit is never staged."""

from __future__ import annotations

import filecmp
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.cli import main as controller
from tests.e2e import registry as depot
from tests.e2e.fault_proxy import FaultProxy, run_fault_proxy
from tests.e2e.registry import Registry
from tests.unit.release_model import write_model

pytestmark = pytest.mark.lab

SOURCE = Path(__file__).resolve().parents[2] / "src"
REF = "vlm-int8@1.0.0"
# By hand: OVMS_EDGE_CUTS=300 OVMS_EDGE_KILLS=300 pytest -m lab tests/e2e/test_transfer_faults.py
CUTS = int(os.environ.get("OVMS_EDGE_CUTS", "20"))
KILLS = int(os.environ.get("OVMS_EDGE_KILLS", "10"))
CHUNK_BYTES = 256 << 10  # the largest of a file that is cut by content
CONNECTIONS = 4
GIVE_UP_SECONDS = 3


def at(registry: Registry) -> list[str | Path]:
    return ["--depot", registry.url, "--ca", registry.ca, "--credentials", registry.credentials]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, Path]]:
    """A release with 6 MB that are cut into chunks, in a real registry."""
    directory = tmp_path_factory.mktemp("release")
    model = write_model(directory / "model")
    (model / "extra.bin").write_bytes(random.Random(5).randbytes(6_000_000))  # noqa: S311
    key = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    built = directory / "out" / "vlm-int8" / "1.0.0"
    (directory / "registry").mkdir()
    tls = depot.make_tls(tmp_path_factory.mktemp("tls"))
    with depot.run_registry(directory / "registry", tls) as registry:
        for command in (
            ["build", "--model", model, "--release", REF, "--output", directory / "out"],
            ["sign", built, "--key", key],
            ["publish", built, *at(registry)],
        ):
            assert controller(["release", *map(str, command)]) == 0
        signers = f'release namespaces="ovms-edge-release" {key.with_suffix(".pub").read_text()}'
        (directory / "allowed_signers").write_text(signers)
        yield registry, built


@pytest.fixture
def proxy(release: tuple[Registry, Path]) -> Iterator[FaultProxy]:
    with run_fault_proxy(release[0]) as running:
        yield running


class Node:
    """A state directory, and ``ovms-node`` as a process."""

    def __init__(self, directory: Path, signers: Path, registry: Registry, *urls: str) -> None:
        self.directory = directory / "state"
        self.config = directory / "node.json"
        credentials = directory / "credentials.json"
        auth = next(iter(json.loads(registry.credentials.read_text())["auths"].values()))
        credentials.write_text(json.dumps({"auths": {url.partition("//")[2]: auth for url in urls}}))
        *mirrors, last = urls
        server: dict[str, Any] = {"url": last, "credentials_file": str(credentials)}
        document = {
            "schema": 1,
            "state_dir": str(self.directory),
            "depot": {**server, "mirrors": [{"url": url} for url in mirrors]},
            "allowed_signers_file": str(signers),
            "transfer": {"connections": CONNECTIONS, "give_up_seconds": GIVE_UP_SECONDS},
        }
        self.config.write_text(json.dumps(document))

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "import sys; from ovms_edge.node.cli import main; sys.exit(main())"]
        return subprocess.Popen(
            [*command, "stage", REF, "--json", f"--node-config={self.config}"],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def stage(self) -> dict[str, Any]:
        with self.start() as process:
            output, errors = process.communicate(timeout=120)
        assert "Traceback" not in errors, errors
        document: dict[str, Any] = json.loads(output)
        assert document["ok"] == (process.returncode == 0), errors
        return document

    def forget(self) -> None:
        """Remove what was staged."""
        subprocess.run(["chmod", "-R", "u+w", self.directory], check=True)
        shutil.rmtree(self.directory / "releases")

    @property
    def staged(self) -> Path:
        return self.directory / "releases" / "vlm-int8" / "1.0.0"


@pytest.fixture
def node(release: tuple[Registry, Path], proxy: FaultProxy, tmp_path: Path) -> Node:
    registry, built = release
    return Node(tmp_path, built.parents[2] / "allowed_signers", registry, proxy.url)


def assert_exact(node: Node, built: Path) -> None:
    """Every byte is the published one; .packed and .residuals stay in the depot."""
    names = {path.relative_to(built) for path in built.rglob("*") if path.is_file()}
    wanted = sorted(str(name) for name in names if name.parts[0] not in (".packed", ".residuals"))
    found = sorted(str(p.relative_to(node.staged)) for p in node.staged.rglob("*") if p.is_file())
    assert found == wanted
    _, mismatch, errors = filecmp.cmpfiles(built, node.staged, wanted, shallow=False)
    assert (mismatch, errors) == ([], [])


@pytest.mark.parametrize(
    "fault", ["reset", "truncate", "close", "429", "503", "500", "no-range", "wrong-byte"]
)
def test_what_passes_costs_time_and_no_bit(
    release: tuple[Registry, Path], proxy: FaultProxy, node: Node, fault: str
) -> None:
    proxy.faults = [fault, "", fault, "", fault]
    assert node.stage()["changed"]
    assert proxy.suffered == 3
    assert_exact(node, release[1])


@pytest.mark.parametrize("fault", ["wrong-byte", "416", "wrong-range", "503"])
def test_what_stays_is_refused_and_nothing_is_staged(
    release: tuple[Registry, Path], proxy: FaultProxy, node: Node, fault: str
) -> None:
    proxy.faults, proxy.always = ["", ""], fault  # manifest and signature come
    refusal = node.stage()
    assert not refusal["ok"]
    assert refusal["remedy"]
    assert not node.staged.exists()
    proxy.faults, proxy.always = [], ""
    assert node.stage()["changed"]
    assert_exact(node, release[1])


def test_a_server_without_ranges_is_no_obstacle(
    release: tuple[Registry, Path], proxy: FaultProxy, node: Node
) -> None:
    proxy.always = "no-range"
    assert node.stage()["changed"]
    assert_exact(node, release[1])
    assert proxy.sent_bytes < 1.05 * sum(p.stat().st_size for p in release[1].rglob("*") if p.is_file())


def test_a_mirror_that_lies_is_passed_over(
    release: tuple[Registry, Path], proxy: FaultProxy, tmp_path: Path
) -> None:
    registry, built = release
    with run_fault_proxy(registry) as lying:
        lying.always = "wrong-byte"
        signers = built.parents[2] / "allowed_signers"
        node = Node(tmp_path, signers, registry, lying.url, proxy.url)
        assert node.stage()["changed"]
        assert_exact(node, built)


def test_an_object_store_never_sees_the_password(
    release: tuple[Registry, Path], proxy: FaultProxy, node: Node
) -> None:
    with run_fault_proxy(release[0], strip_authorization=True) as store:
        proxy.store, proxy.always = store.url, "redirect"
        assert node.stage()["changed"]
        assert store.requests
        assert not [headers for headers in store.requests if "Authorization" in headers]
    assert_exact(node, release[1])


def test_cut_connections_cost_a_chunk_each(
    release: tuple[Registry, Path], proxy: FaultProxy, node: Node
) -> None:
    moments = random.Random(13)  # noqa: S311  reproducible
    whole = sum(path.stat().st_size for path in release[1].rglob("*") if path.is_file())
    stages = 0
    while proxy.suffered < CUTS:
        # every second request about a blob is cut, until all is there
        cuts = moments.choices(["truncate", "close", "reset"], k=CUTS)
        proxy.faults = ["", ""] + [fault for cut in cuts for fault in (cut, "")]
        document = node.stage()
        stages += 1
        assert document["ok"], document
        assert_exact(node, release[1])
        node.forget()
    assert proxy.sent_bytes < stages * whole + proxy.suffered * CHUNK_BYTES


def test_kills_cost_a_chunk_per_connection(
    release: tuple[Registry, Path], proxy: FaultProxy, node: Node
) -> None:
    """Slowed down, so that a kill meets a transfer and not its start."""
    moments = random.Random(17)  # noqa: S311  reproducible
    state = node.directory
    state.mkdir(exist_ok=True)
    (state / "transfer-control.json").write_text(json.dumps({"paused": False, "rate": "20Mbit"}))
    kills = left = 0
    while kills < KILLS:
        with node.start() as process:
            time.sleep(moments.uniform(0.2, 0.9))  # the moment of the kill, not a wait for a state
            process.kill()
        if process.returncode == 0:  # it had ended before
            assert_exact(node, release[1])
            node.forget()
            left = 0
            continue
        kills += 1
        assert not node.staged.exists()
        status = json.loads((state / "transfer.json").read_text())
        if status["fetch_bytes"]:  # it was past planning
            assert not left or status["fetch_bytes"] <= left + CONNECTIONS * CHUNK_BYTES
            left = status["fetch_bytes"] - status["fetched_bytes"]
    (state / "transfer-control.json").unlink()
    assert node.stage()["ok"]
    assert_exact(node, release[1])
