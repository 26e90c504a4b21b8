from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import Manifest, Memory, ReleaseFile
from ovms_edge.release.artifact import build_artifact, further_blob, media_type, read_layers

MANIFEST = Manifest(
    name="vlm",
    version="1.0.0",
    created="2026-01-01T00:00:00Z",
    source={"model": "Qwen/Qwen2.5-VL-7B-Instruct", "revision": "abc", "weight_format": "int8"},
    ovms_versions=("2025.4.1",),
    graph={},
    memory=Memory(3, 0),
    files=(ReleaseFile("a.bin", 3, "1" * 64), ReleaseFile("sub/config.json", 4, "2" * 64)),
)
SIGNATURE = b"-----BEGIN SSH SIGNATURE-----\n"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("openvino_language_model.bin", "application/vnd.cncf.model.weight.v1.raw"),
        ("README.md", "application/vnd.cncf.model.doc.v1.raw"),
        ("LICENSE", "application/vnd.cncf.model.doc.v1.raw"),
        ("sub/LICENSE.txt", "application/vnd.cncf.model.doc.v1.raw"),
        ("openvino_language_model.xml", "application/vnd.cncf.model.weight.config.v1.raw"),
        ("tokenizer.json", "application/vnd.cncf.model.weight.config.v1.raw"),
    ],
)
def test_media_type_follows_the_name(path: str, expected: str) -> None:
    assert media_type(path) == expected


def test_oci_manifest_is_a_modelpack() -> None:
    document = json.loads(build_artifact(MANIFEST, SIGNATURE).data)
    assert document["schemaVersion"] == 2
    assert document["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert document["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert document["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    kinds = {
        layer["annotations"]["org.cncf.model.filepath"]: layer["mediaType"] for layer in document["layers"]
    }
    assert kinds == {
        "a.bin": "application/vnd.cncf.model.weight.v1.raw",
        "sub/config.json": "application/vnd.cncf.model.weight.config.v1.raw",
        "manifest.json": "application/vnd.ovms-edge.release.manifest.v1+json",
        "manifest.json.sig": "application/vnd.ovms-edge.release.signature.v1",
    }


def test_chunk_indexes_are_layers_by_their_digest() -> None:
    index = b"an index"
    sha256 = hashlib.sha256(index).hexdigest()
    artifact = build_artifact(MANIFEST, SIGNATURE, [further_blob(f".chunks/{sha256}", sha256, len(index))])

    layer = read_layers(artifact.data)[f".chunks/{sha256}"]

    assert layer.media_type == "application/vnd.ovms-edge.release.chunks.v1"
    assert (layer.digest, layer.size) == (f"sha256:{sha256}", len(index))


def test_descriptors_are_those_of_the_content() -> None:
    artifact = build_artifact(MANIFEST, SIGNATURE)
    layers = read_layers(artifact.data)
    assert (layers["a.bin"].digest, layers["a.bin"].size) == ("sha256:" + "1" * 64, 3)
    for path, data in (("manifest.json", MANIFEST.to_bytes()), ("manifest.json.sig", SIGNATURE)):
        assert layers[path].digest == "sha256:" + hashlib.sha256(data).hexdigest()
        assert layers[path].size == len(data)
        assert artifact.small[layers[path].digest] == data


def test_model_config_lists_the_layers_in_order() -> None:
    """The schema: modelpack/model-spec, schema/config-schema.json."""
    artifact = build_artifact(MANIFEST, SIGNATURE)
    config = json.loads(artifact.small[artifact.config.digest])
    layers = json.loads(artifact.data)["layers"]
    assert set(config) == {"descriptor", "config", "modelfs"}
    assert config["modelfs"] == {"type": "layers", "diffIds": [layer["digest"] for layer in layers]}
    assert config["descriptor"]["createdAt"] == MANIFEST.created
    assert config["config"] == {"format": "openvino", "quantization": "int8"}


def test_unknown_source_leaves_the_fields_out() -> None:
    artifact = build_artifact(replace(MANIFEST, source={}), SIGNATURE)
    config = json.loads(artifact.small[artifact.config.digest])
    assert config["config"] == {"format": "openvino"}
    assert set(config["descriptor"]) == {"createdAt", "name", "version"}


def test_same_release_is_the_same_artifact() -> None:
    assert build_artifact(MANIFEST, SIGNATURE).data == build_artifact(MANIFEST, SIGNATURE).data
    assert build_artifact(MANIFEST, b"other").digest != build_artifact(MANIFEST, SIGNATURE).digest


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"artifactType": "application/vnd.oci.image"}'])
def test_other_artifact_is_no_release(data: bytes) -> None:
    with pytest.raises(EdgeError, match="no release"):
        read_layers(data)
