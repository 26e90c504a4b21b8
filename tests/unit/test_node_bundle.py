"""Staging from a directory, with the same verification as from a depot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.image_layout import ImageRef, read_image
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.bundle import Bundle
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.depot import Depot
from ovms_edge.node.pace import Unhurried
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.source import Source, WrongBytesError
from ovms_edge.node.stage import apply_stage
from ovms_edge.node.stage_plan import plan_stage
from ovms_edge.node.transfer import Transfer
from ovms_edge.node.whole_blob import fetch_blob, has_blob
from ovms_edge.oci import LAYOUT_FILE, LAYOUT_INDEX, REF_NAME
from tests.unit.node_depot import FakeDepot, Model, Publisher, node_config, serve, sha256

REF = ReleaseRef("vlm", "2.0.0")
DATA = bytes(range(256)) * 500
MODEL = Model({"w.bin": DATA, "w.xml": b"<net/>" * 2000}, {"w.bin": [0, 50_000, 128_000]}, ("w.xml",))


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "publisher")


@pytest.fixture
def fake(publisher: Publisher) -> Iterator[FakeDepot]:
    with serve(FakeDepot()) as depot:
        MODEL.publish(publisher, depot, "2.0.0")
        yield depot


@pytest.fixture
def config(tmp_path: Path, fake: FakeDepot, publisher: Publisher) -> NodeConfig:
    found = node_config(tmp_path / "node", fake, publisher)
    found.state_dir.mkdir()
    return found


@pytest.fixture
def bundle(tmp_path: Path, fake: FakeDepot) -> Path:
    """The depot's content as a layout."""
    directory = tmp_path / "bundle"
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    manifest = fake.tags["/v2/models/vlm/manifests/2.0.0"]
    for data in (*fake.blobs.values(), manifest):
        (blobs / sha256(data)).write_bytes(data)
    entry = {"digest": f"sha256:{sha256(manifest)}", "annotations": {REF_NAME: "models/vlm:2.0.0"}}
    (directory / LAYOUT_INDEX).write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (directory / LAYOUT_FILE).write_text('{"imageLayoutVersion":"1.0.0"}')
    return directory


def stage(config: NodeConfig, source: Source) -> None:
    with Transfer(config, REF) as transfer:
        plan = plan_stage(config, source, REF)
        apply_stage(config, source, plan, transfer)
        transfer.end(plan.document)


def staged(config: NodeConfig) -> dict[str, bytes]:
    root = StatePaths(config.state_dir).release(REF)
    return {name: (root / name).read_bytes() for name in MODEL.files if (root / name).is_file()}


def test_a_release_is_staged_from_a_bundle(config: NodeConfig, bundle: Path, fake: FakeDepot) -> None:
    stage(config, Bundle(bundle))
    assert staged(config) == MODEL.files
    assert not fake.seen


@pytest.mark.parametrize("name", ["w.bin", "w.xml"])
def test_a_damaged_stick_is_named_and_nothing_is_staged(config: NodeConfig, bundle: Path, name: str) -> None:
    manifest, _ = MODEL.manifest("2.0.0")
    file = next(file for file in manifest.files if file.path == name)
    blob = bundle / "blobs" / "sha256" / (file.packed.sha256 if file.packed else file.sha256)
    good = blob.read_bytes()
    blob.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(EdgeError, match=rf"{name} of vlm@2.0.0: .* is damaged"):
        stage(config, Bundle(bundle))
    assert staged(config) == {}
    blob.unlink()
    with pytest.raises(EdgeError, match=r"cannot be read: No such file"):
        stage(config, Bundle(bundle))
    blob.write_bytes(good)
    stage(config, Bundle(bundle))
    assert staged(config) == MODEL.files


def test_what_a_bundle_has_not_is_said(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"has no vlm@3; it has models/vlm:2\.0\.0"):
        Bundle(bundle).signed_manifest(ReleaseRef("vlm", "3"))
    assert Bundle(bundle).status_list("vlm") is None
    with pytest.raises(EdgeError, match="is no bundle: it has no oci-layout"):
        Bundle(tmp_path)
    (bundle / LAYOUT_INDEX).write_text("{")
    with pytest.raises(EdgeError, match=r"index\.json is not readable"):
        Bundle(bundle)


def test_a_document_that_is_not_its_digest_is_refused(bundle: Path) -> None:
    entry = json.loads((bundle / LAYOUT_INDEX).read_text())["manifests"][0]
    path = bundle / "blobs" / "sha256" / entry["digest"].partition(":")[2]
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(WrongBytesError, match="is damaged"):
        Bundle(bundle).signed_manifest(REF)


def test_a_whole_blob_goes_on_where_it_was_cut_off(
    tmp_path: Path, config: NodeConfig, fake: FakeDepot
) -> None:
    data = bytes(range(251)) * 40_000  # two runs and a half
    fake.put(data)
    target, source = tmp_path / "blob", Depot(config, Unhurried())
    done: list[int] = []
    with (tmp_path / "blob.part").open("wb") as part:
        part.write(data[: 4 << 20])
        part.truncate(len(data))
    fetch_blob(source, "models/vlm", sha256(data), len(data), target, done.append)
    assert has_blob(target, sha256(data), len(data))
    assert fake.sent_blob_bytes == len(data) - (4 << 20)
    assert sum(done) == len(data)


def test_a_whole_blob_with_wrong_bytes_on_the_disk_is_fetched_anew(
    tmp_path: Path, config: NodeConfig, fake: FakeDepot
) -> None:
    data = b"right" * 1000
    fake.put(data)
    (tmp_path / "blob.part").write_bytes(b"wrong" * 1000)
    source = Depot(config, Unhurried())
    fetch_blob(source, "models/vlm", sha256(data), len(data), tmp_path / "blob", lambda _: None)
    assert has_blob(tmp_path / "blob", sha256(data), len(data))
    fake.blobs[sha256(data)] = b"other" * 1000
    with pytest.raises(EdgeError, match="comes with other bytes than its digest says"):
        fetch_blob(source, "models/vlm", sha256(data), len(data), tmp_path / "second", lambda _: None)
    assert not (tmp_path / "second").exists()


DIGEST = "sha256:" + "a" * 64
LAYER = {"digest": "sha256:" + "b" * 64, "size": 7}
CONFIG = {"digest": "sha256:" + "c" * 64, "size": 3}


def test_of_an_index_the_image_for_this_hardware_is_taken() -> None:
    image = {"config": CONFIG, "layers": [LAYER, LAYER]}
    index = {
        "manifests": [
            {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "arm64"}},
            {"digest": "sha256:amd", "platform": {"os": "linux", "architecture": "amd64"}},
        ]
    }
    documents = {DIGEST: json.dumps(index).encode(), "sha256:amd": json.dumps(image).encode()}
    found = read_image(DIGEST, documents.__getitem__)
    assert [blob.size for blob in found.blobs] == [3, 7]
    assert found.documents == documents
    index["manifests"].pop()
    with pytest.raises(EdgeError, match="is not for linux/amd64"):
        read_image(DIGEST, lambda digest: json.dumps(index).encode())
    with pytest.raises(EdgeError, match="has no manifest of an image"):
        read_image(DIGEST, lambda digest: b"{}")


def test_an_image_is_named_by_its_digest() -> None:
    ref = ImageRef.parse(f"depot.example:5000/openvino/model_server@{DIGEST}")
    assert (ref.registry, ref.repository) == ("depot.example:5000", "openvino/model_server")
    assert str(ref) == f"depot.example:5000/openvino/model_server@{DIGEST}"
    with pytest.raises(EdgeError, match="not an image by its digest"):
        ImageRef.parse("depot.example:5000/openvino/model_server:2025.4.1-gpu")
