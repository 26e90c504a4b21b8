"""A release and an image on a stick, from a real registry into a real engine."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.cli import main as controller
from tests.e2e import registry as depot
from tests.e2e.node_process import REF, Node, Published, publish
from tests.e2e.registry import Registry

pytestmark = pytest.mark.lab

EXTRA_BYTES = 1_000_000
CONTENT = os.urandom(5_000_000)


def docker(*arguments: str | Path, data: bytes | None = None) -> str:
    done = subprocess.run(["docker", *arguments], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    directory = tmp_path_factory.mktemp("registry")
    with depot.run_registry(directory, depot.make_tls(tmp_path_factory.mktemp("tls"))) as running:
        yield running


@pytest.fixture(scope="module")
def published(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(tmp_path_factory.mktemp("release"), registry, EXTRA_BYTES)


@pytest.fixture
def image(registry: Registry, tmp_path: Path) -> Iterator[str]:
    """An image that no engine has seen before, in the registry and not in the engine."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("content")
        member.size = len(CONTENT)
        tar.addfile(member, io.BytesIO(CONTENT))
    tag = f"{registry.host}/openvino/trial:1"
    identity = docker("import", "-", tag, data=archive.getvalue())
    login = tmp_path / "login"
    login.mkdir()
    (login / "config.json").write_bytes(registry.credentials.read_bytes())
    try:
        said = docker("--config", login, "push", tag)
    finally:
        docker("rmi", "--force", identity)
    digest = re.search(r"digest: (sha256:[0-9a-f]{64})", said)
    assert digest
    yield f"{registry.host}/openvino/trial@{digest[1]}"
    subprocess.run(["docker", "rmi", "--force", identity], capture_output=True, check=False)


def release(*words: str | Path) -> None:
    assert controller(["release", *map(str, words)]) == 0


def at(registry: Registry) -> list[str | Path]:
    return ["--depot", registry.url, "--ca", registry.ca, "--credentials", registry.credentials]


def node_of(directory: Path, url: str, published: Published) -> Node:
    registry = published.registry
    settings = {"ca_file": str(registry.ca), "credentials_file": str(registry.credentials)}
    return Node(directory, published, {"url": url, **settings})


def stage(node: Node, *words: str | Path) -> dict[str, Any]:
    document = node.run("stage", REF, *map(str, words))
    assert document["ok"], document
    return document


def assert_engine_has(image: str, state: Path) -> None:
    known = json.loads((state / "images.json").read_text())[image.partition("@")[2]]
    container = docker("create", known, "none")
    try:
        copied = subprocess.run(
            ["docker", "cp", f"{container}:/content", "-"], capture_output=True, check=True
        ).stdout
    finally:
        docker("rm", container)
    with tarfile.open(fileobj=io.BytesIO(copied)) as tar:
        content = tar.extractfile("content")
        assert content
        assert content.read() == CONTENT


@pytest.mark.parametrize("way", ["depot", "bundle"])
def test_release_and_image_arrive_whole(published: Published, image: str, tmp_path: Path, way: str) -> None:
    words: list[str | Path] = ["--image", image]
    registry = published.registry
    url = registry.url
    if way == "bundle":
        bundle = tmp_path / "stick"
        export = ["export-bundle", REF, *at(registry), "--output", bundle, "--image", image]
        release(*export)
        before = {path: path.stat().st_mtime_ns for path in (bundle / "blobs/sha256").iterdir()}
        release(*export)  # all is there
        fetched = [path for path in before if path.stat().st_size > 100_000]
        assert all(before[path] == path.stat().st_mtime_ns for path in fetched)
        words += ["--bundle", bundle]
        url = "https://127.0.0.1:9"  # no depot far and wide
    node = node_of(tmp_path, url, published)
    plan = stage(node, *words, "--plan")
    assert plan["image"] == {"image": image, "present": False, "fetch_bytes": plan["image"]["fetch_bytes"]}
    assert plan["image"]["fetch_bytes"] > 0.9 * len(CONTENT)
    assert stage(node, *words)["changed"]
    assert (node.staged / "extra.bin").is_file()
    assert_engine_has(image, tmp_path / "state")
    again = stage(node, *words)
    assert (again["changed"], again["image"]["present"]) == (False, True)
    assert not list((tmp_path / "state/staging").rglob("*.part"))


def test_a_status_list_travels_along(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, signers = published.registry, published.signers
    key = signers.parent / "key"
    release("pin", REF, "--key", key, *at(registry))
    release("pin", REF, "--key", key, *at(registry))
    said = capsys.readouterr().out
    assert f"{REF} pinned, serial 1\n{REF} pinned, as before, serial 1" in said
    release("export-bundle", REF, *at(registry), "--output", tmp_path / "stick")
    node = node_of(tmp_path, "https://127.0.0.1:9", published)
    assert stage(node, "--bundle", tmp_path / "stick")["changed"]
    kept = json.loads((tmp_path / "state/status/vlm-int8.json").read_text())
    assert json.loads(kept["list"])["pinned"] == ["1.0.0"]
    release("verify", REF, *at(registry), "--allowed-signers", signers)
    release("list", "vlm-int8", *at(registry))
    assert "pinned" in capsys.readouterr().out
