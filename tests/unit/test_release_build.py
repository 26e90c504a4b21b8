from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path

import pytest

from ovms_edge.chunks import ChunkIndex
from ovms_edge.errors import EdgeError
from ovms_edge.manifest import Manifest, ReleaseRef
from ovms_edge.release import build as build_module
from ovms_edge.release.build import Built, build_release
from ovms_edge.release.content import list_content
from tests.unit.release_model import BIN_BYTES, KV_BYTES_PER_TOKEN, SOURCE, write_model

REF = ReleaseRef("vlm-int8", "1.0.0")
VERSIONS = ("2025.4.1",)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def build(model: Path, output: Path, ref: ReleaseRef = REF) -> Built:
    return build_release(model, ref, output, VERSIONS)


def tree(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def test_manifest_says_what_the_model_is(model: Path, tmp_path: Path) -> None:
    built = build(model, tmp_path / "out")
    manifest = Manifest.from_bytes((tmp_path / "out/vlm-int8/1.0.0/manifest.json").read_bytes())
    assert manifest == built.manifest
    assert manifest.source == SOURCE
    assert manifest.ovms_versions == VERSIONS
    assert manifest.memory.weights_bytes == 6 * BIN_BYTES
    assert manifest.memory.kv_bytes_per_token == KV_BYTES_PER_TOKEN
    assert manifest.graph == {
        "plugin_config": '{ "KV_CACHE_PRECISION": "u8" }',
        "cache_size": 4,
        "max_num_seqs": 1,
        "enable_prefix_caching": True,
    }


def test_files_are_the_models_with_their_digests(model: Path, tmp_path: Path) -> None:
    built = build(model, tmp_path / "out")
    assert tree(built.directory) == {file.path for file in built.manifest.files} | {"manifest.json"}
    assert {"README.md", "config.json", "merges.txt", "openvino_language_model.bin"} <= tree(built.directory)
    for file in built.manifest.files:
        data = (built.directory / file.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)
        assert data == (model / file.path).read_bytes()


def test_a_file_of_several_chunks_has_its_index_and_others_have_none(model: Path, tmp_path: Path) -> None:
    words = hashlib.shake_128(b"words").digest(400_000)
    (model / "tokenizer.json").write_bytes(words)
    built = build(model, tmp_path / "out")

    indexed = {file.path: file for file in built.manifest.files if file.chunk_index}
    assert list(indexed) == ["tokenizer.json"]
    data = (built.directory / ".chunks" / str(indexed["tokenizer.json"].chunk_index)).read_bytes()
    index = ChunkIndex.from_bytes(data, len(words))
    assert index.sha256 == indexed["tokenizer.json"].chunk_index
    assert [words[chunk.offset : chunk.offset + chunk.size] for chunk in index.chunks] != [words]
    assert all(
        hashlib.sha256(words[chunk.offset : chunk.offset + chunk.size]).digest() == chunk.digest
        for chunk in index.chunks
    )
    assert tree(built.directory) == {file.path for file in built.manifest.files} | {
        "manifest.json",
        f".chunks/{index.sha256}",
    }


def test_weights_take_no_second_place_on_the_disk(model: Path, tmp_path: Path) -> None:
    built = build(model, tmp_path / "out")
    name = "openvino_language_model.bin"
    assert (built.directory / name).samefile(model / name)


def test_files_are_copied_where_links_are_impossible(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    built = build(model, tmp_path / "out")
    name = "openvino_language_model.bin"
    assert not (built.directory / name).samefile(model / name)
    assert (built.directory / name).read_bytes() == (model / name).read_bytes()


def test_what_is_of_a_host_or_a_tool_stays_out(model: Path, tmp_path: Path) -> None:
    for path in (
        ".git/config",
        ".cache/x",
        "__pycache__/a.pyc",
        "model_cache/1.blob",
        "1.cl_cache",
        ".hidden",
    ):
        (model / path).parent.mkdir(exist_ok=True)
        (model / path).write_text("x")
    (model / "sub").mkdir()
    (model / "sub/graph.pbtxt").write_text("the model's own")
    content = list_content(model)
    assert set(content.excluded) == {
        ".git", ".cache", "__pycache__", "model_cache", "1.cl_cache", ".hidden", "export.json", "graph.pbtxt",
    }  # fmt: skip
    assert "sub/graph.pbtxt" in content.included
    assert tree(build(model, tmp_path / "out").directory) == {*content.included, "manifest.json"}


def test_link_to_a_file_becomes_the_file(model: Path, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    (model / "config.json").rename(blob)
    (model / "config.json").symlink_to(blob)
    directory = build(model, tmp_path / "out").directory
    assert not (directory / "config.json").is_symlink()
    assert (directory / "config.json").read_bytes() == blob.read_bytes()


@pytest.mark.parametrize("target", ["nowhere", "."])
def test_other_links_are_refused(model: Path, tmp_path: Path, target: str) -> None:
    (model / "odd").symlink_to(target)
    with pytest.raises(EdgeError, match="odd"):
        build(model, tmp_path / "out")


@pytest.mark.parametrize("name", [b"a\nb", b"a\xff", b"a\\b"])
def test_name_that_no_manifest_can_hold_is_refused(model: Path, tmp_path: Path, name: bytes) -> None:
    (model / os.fsdecode(name)).write_text("x")
    with pytest.raises(EdgeError, match="rename"):
        build(model, tmp_path / "out")


def test_same_sources_give_the_same_bytes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    one = build(model, tmp_path / "one").directory / "manifest.json"
    two = build(write_model(tmp_path / "again"), tmp_path / "two").directory / "manifest.json"
    assert one.read_bytes() == two.read_bytes()
    assert json.loads(one.read_bytes())["created"] == "2023-11-14T22:13:20Z"


def test_same_release_again_is_fine(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first = build(model, tmp_path / "out")
    before = (first.directory / "manifest.json").read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    second = build(model, tmp_path / "out")
    assert (first.new, second.new) == (True, False)
    assert (second.directory / "manifest.json").read_bytes() == before


def test_release_never_changes(model: Path, tmp_path: Path) -> None:
    directory = build(model, tmp_path / "out").directory
    before = {path: (directory / path).read_bytes() for path in tree(directory)}
    other = write_model(tmp_path / "other", weight=b"v")
    with pytest.raises(EdgeError, match="choose another version") as caught:
        build(other, tmp_path / "out")
    assert "openvino_detokenizer.bin" in caught.value.reason
    assert {path: (directory / path).read_bytes() for path in tree(directory)} == before
    assert sorted(path.name for path in directory.parent.iterdir()) == ["1.0.0"]


def test_damaged_release_is_not_called_built(model: Path, tmp_path: Path) -> None:
    directory = build(model, tmp_path / "out").directory
    (directory / "config.json").unlink()
    with pytest.raises(EdgeError, match=r"config\.json is missing"):
        build(model, tmp_path / "out")


def test_interrupted_build_leaves_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "sync_tree", die)
        with pytest.raises(KeyboardInterrupt):
            build(model, tmp_path / "out")
    assert list((tmp_path / "out/vlm-int8").iterdir()) == []
    assert build(model, tmp_path / "out").new


def test_what_a_killed_build_left_is_removed(model: Path, tmp_path: Path) -> None:
    partial = tmp_path / "out/vlm-int8/.partial"
    partial.mkdir(parents=True)
    (partial / "stale").write_text("x")
    directory = build(model, tmp_path / "out").directory
    assert "stale" not in tree(directory)
    assert not partial.exists()


def test_two_builds_do_not_mix(model: Path, tmp_path: Path) -> None:
    parent = tmp_path / "out/vlm-int8"
    parent.mkdir(parents=True)
    descriptor = os.open(parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(EdgeError, match="another build"):
            build(model, tmp_path / "out")
    finally:
        os.close(descriptor)


def test_truncated_weights_are_refused(model: Path, tmp_path: Path) -> None:
    path = model / "openvino_vision_embeddings_model.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(EdgeError, match=r"openvino_vision_embeddings_model\.bin is truncated"):
        build(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_graph_with_an_option_of_another_version_is_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", options="block_size: 32")
    with pytest.raises(EdgeError, match="block_size"):
        build(model, tmp_path / "out")


def test_graph_is_checked_for_every_version_named(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", options="draft_eagle3_mode: true")
    build_release(model, REF, tmp_path / "out", ("2026.0",))
    with pytest.raises(EdgeError, match="draft_eagle3_mode"):
        build_release(model, ReleaseRef("vlm-int8", "2"), tmp_path / "out", ("2026.0", "2025.4.1"))


def test_config_of_ovms_is_not_taken_for_the_models(model: Path, tmp_path: Path) -> None:
    (model / "config.json").write_text('{"model_config_list": []}')
    with pytest.raises(EdgeError, match="is OVMS's"):
        build(model, tmp_path / "out")


def test_output_inside_the_model_is_refused(model: Path) -> None:
    with pytest.raises(EdgeError, match="outside"):
        build(model, model / "releases")


def test_output_that_cannot_be_written_is_named(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(EdgeError, match=r"release not built in .*out"):
        build(model, tmp_path / "out")


def test_model_without_export_record_has_no_source(model: Path, tmp_path: Path) -> None:
    (model / "export.json").unlink()
    assert build(model, tmp_path / "out").manifest.source == {}
