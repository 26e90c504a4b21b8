from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovms_edge.chunks import MAX_CHUNK_BYTES
from ovms_edge.errors import EdgeError
from ovms_edge.manifest import Manifest, Memory, Packed, ReleaseFile, ReleaseRef, Residual

DIGEST = "0" * 64
MANIFEST = Manifest(
    name="vlm",
    version="1.0.0",
    created="2026-01-01T00:00:00Z",
    source={"model": "Qwen/Qwen2.5-VL-7B-Instruct"},
    ovms_versions=("2025.4.1",),
    graph={"cache_size": 4},
    memory=Memory(8_000_000_000, 57344),
    files=(ReleaseFile("a.bin", 3, DIGEST), ReleaseFile("sub/é.json", 4, DIGEST)),
)


def test_reading_gives_what_was_written() -> None:
    assert Manifest.from_bytes(MANIFEST.to_bytes()) == MANIFEST


def test_packed_files_and_residuals_survive_the_way_there_and_back() -> None:
    text = ReleaseFile("a.xml", 9, DIGEST, packed=Packed(DIGEST, 5))
    weights = ReleaseFile("a.bin", 9, DIGEST, chunk_index=DIGEST)
    residual = Residual("a.bin", base=DIGEST, sha256=DIGEST, size=30, table_bytes=20, table_sha256=DIGEST)
    manifest = replace(MANIFEST, files=(text, weights), residuals=(residual,))
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


@pytest.mark.parametrize(
    ("file", "residual"),
    [
        (ReleaseFile("a.bin", MAX_CHUNK_BYTES + 1, DIGEST), None),
        (ReleaseFile("a.bin", 9, DIGEST, chunk_index="x"), None),
        (ReleaseFile("a.xml", 9, DIGEST, packed=Packed("x", 5)), None),
        (ReleaseFile("a.xml", 9, DIGEST, packed=Packed(DIGEST, MAX_CHUNK_BYTES + 1)), None),
        (ReleaseFile("a.bin", 9, DIGEST), Residual("a.bin", DIGEST, DIGEST, 30, 20, DIGEST)),
        (ReleaseFile("a.bin", 9, DIGEST, DIGEST), Residual("b.bin", DIGEST, DIGEST, 30, 20, DIGEST)),
        (ReleaseFile("a.bin", 9, DIGEST, DIGEST), Residual("a.bin", "x", DIGEST, 30, 20, DIGEST)),
        (ReleaseFile("a.bin", 9, DIGEST, DIGEST), Residual("a.bin", DIGEST, DIGEST, 30, 31, DIGEST)),
    ],
)
def test_blobs_that_cannot_be_are_refused(file: ReleaseFile, residual: Residual | None) -> None:
    manifest = replace(MANIFEST, files=(file,), residuals=(residual,) if residual else ())
    with pytest.raises(EdgeError, match="not readable"):
        Manifest.from_bytes(manifest.to_bytes())


def test_bytes_are_canonical() -> None:
    data = MANIFEST.to_bytes()
    assert data.endswith(b"}\n")
    assert data.count(b"\n") == 1
    keys = list(json.loads(data))
    assert keys == sorted(keys)
    assert "é".encode() in data


def test_total_is_the_sum_of_the_files() -> None:
    assert MANIFEST.total_bytes == 7


@given(
    st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.booleans(), st.none())),
    st.lists(st.integers(min_value=0), min_size=1, max_size=5),
)
def test_any_manifest_survives_the_way_there_and_back(graph: dict[str, Any], sizes: list[int]) -> None:
    try:
        "".join(graph).encode(), "".join(str(value) for value in graph.values()).encode()
    except UnicodeEncodeError:
        return  # lone surrogates are no text
    files = tuple(
        ReleaseFile(f"{index}.bin", size, DIGEST, DIGEST if size > MAX_CHUNK_BYTES else None)
        for index, size in enumerate(sizes)
    )
    manifest = replace(MANIFEST, graph=graph, files=files)
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


@pytest.mark.parametrize("text", ["vlm@1.0.0", "qwen2.5-vl-7b_int8@v1", "a@_", "a@" + "1" * 128])
def test_release_is_named_as_written(text: str) -> None:
    assert str(ReleaseRef.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vlm",
        "vlm@",
        "@1",
        "VLM@1",
        "a/b@1",
        "../a@1",
        "a@../1",
        "a@.1",
        "a@1@2",
        "a@1 ",
        "a@" + "1" * 129,
        "a@1\n",
    ],
)
def test_what_could_be_no_directory_and_no_tag_is_no_release(text: str) -> None:
    with pytest.raises(EdgeError, match="not a release"):
        ReleaseRef.parse(text)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../a",
        "a/../b",
        "./a",
        "a//b",
        "a/",
        "",
        ".",
        "a\nb",
        "a\\b",
        "manifest.json",
        "manifest.json.sig",
    ],
)
def test_path_that_could_leave_or_shadow_the_release_is_refused(path: str) -> None:
    data = replace(MANIFEST, files=(ReleaseFile(path, 1, DIGEST),)).to_bytes()
    with pytest.raises(EdgeError, match="file path"):
        Manifest.from_bytes(data)


def test_file_below_another_file_is_refused() -> None:
    files = (ReleaseFile("a/b/c", 1, DIGEST), ReleaseFile("a-", 1, DIGEST), ReleaseFile("a", 1, DIGEST))
    with pytest.raises(EdgeError, match="below another"):
        Manifest.from_bytes(replace(MANIFEST, files=files).to_bytes())


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "ovms-edge.release/2"},
        {"files": []},
        {"files": [{"path": "a", "size": -1, "sha256": DIGEST}]},
        {"files": [{"path": "a", "size": 1, "sha256": "xyz"}]},
        {"files": [{"path": "a", "size": 1, "sha256": DIGEST}, {"path": "a", "size": 1, "sha256": DIGEST}]},
        {"files": [{"path": "a"}]},
        {"files": ["a"]},
        {"memory": {"weights_bytes": 1}},
        {"surprise": 1},
        {"name": "../escape"},
    ],
)
def test_document_that_breaks_the_contract_is_refused(change: dict[str, Any]) -> None:
    document = {**json.loads(MANIFEST.to_bytes()), **change}
    with pytest.raises(EdgeError, match=r"not readable|not a release"):
        Manifest.from_bytes(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"null", b'{"schema": "ovms-edge.release/1"}'])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(EdgeError, match="not readable"):
        Manifest.from_bytes(data)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("graph", []),
        ("source", []),
        ("created", 5),
        ("ovms_versions", "2025.4.1"),
        ("golden", [1]),
        ("memory", {"weights_bytes": "9", "kv_bytes_per_token": 0}),
        ("memory", {"weights_bytes": True, "kv_bytes_per_token": 0}),
        ("files", [{"path": "manifest.json/x", "size": 1, "sha256": DIGEST}]),
    ],
)
def test_a_field_of_another_type_is_refused(key: str, value: object) -> None:
    document = json.loads(MANIFEST.to_bytes()) | {key: value}
    with pytest.raises(EdgeError, match="not readable"):
        Manifest.from_bytes(json.dumps(document).encode())
