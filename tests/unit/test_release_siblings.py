"""What a build makes so that updates are small: residuals against earlier releases, text compressed."""

from __future__ import annotations

import lzma
import random
from pathlib import Path

import pytest

from ovms_edge.chunks import ChunkIndex
from ovms_edge.errors import EdgeError
from ovms_edge.manifest import Manifest, ReleaseRef
from ovms_edge.release.build import Built, build_release
from ovms_edge.residual import read_table, restore
from tests.unit.release_model import BIN_BYTES, XML, write_model

WEIGHTS = "openvino_language_model"
BYTES = 1_500_000
DATA = random.Random(4).randbytes(BYTES)  # noqa: S311  the same in every run
TUNED = bytes((byte + (n % 11 == 0)) % 256 for n, byte in enumerate(DATA))


def model(directory: Path, weights: bytes) -> Path:
    write_model(directory)
    xml = XML.replace(f'"{BIN_BYTES}"', f'"{len(weights)}"').replace("<layers>", "<layers>" + " " * 9000)
    (directory / f"{WEIGHTS}.xml").write_text(xml)
    (directory / f"{WEIGHTS}.bin").write_bytes(weights)
    return directory


def build(tmp_path: Path, version: str, weights: bytes, residuals: int = 2, **options: list[Path]) -> Built:
    source = model(tmp_path / f"model-{version}", weights)
    ref = ReleaseRef("vlm", version)
    return build_release(source, ref, tmp_path / "out", ("2025.4.1",), residuals=residuals, **options)


def residual_paths(built: Built) -> list[str]:
    return [f"{residual.path} {residual.base[:8]}" for residual in built.manifest.residuals]


def test_a_fine_tune_has_a_residual_that_gives_it_back(tmp_path: Path) -> None:
    first = build(tmp_path, "1", DATA)
    second = build(tmp_path, "2", TUNED)
    assert first.manifest.residuals == ()
    (residual,) = second.manifest.residuals
    assert residual.path == f"{WEIGHTS}.bin"
    assert residual.size < 0.12 * BYTES
    blob = (second.directory / ".residuals" / residual.sha256).read_bytes()
    (file,) = (file for file in second.manifest.files if file.path == residual.path)
    index = (second.directory / ".chunks" / str(file.chunk_index)).read_bytes()
    chunks = ChunkIndex.from_bytes(index, file.size).chunks
    entries = read_table(blob[: residual.table_bytes])
    assert len(entries) == len(chunks)
    for entry in entries:
        chunk = chunks[entry.chunk]
        base = DATA[entry.base_offset : entry.base_offset + chunk.size]
        payload = blob[entry.offset : entry.offset + entry.length]
        assert restore(payload, base) == TUNED[chunk.offset : chunk.offset + chunk.size]
    assert Manifest.from_bytes(second.manifest.to_bytes()) == second.manifest


def test_residuals_are_against_the_last_releases_and_those_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [
        DATA,
        *(bytes((byte + n * (at % 9 == 0)) % 256 for at, byte in enumerate(DATA)) for n in (1, 2)),
    ]
    built = []
    for number, weights in enumerate(versions):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(1000 + number))
        built.append(build(tmp_path, str(number), weights, residuals=0))
    bases = [file.sha256 for one in built for file in one.manifest.files if file.path == f"{WEIGHTS}.bin"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "2000")
    latest = build(tmp_path, "latest", TUNED, residuals=2)
    assert [residual.base for residual in latest.manifest.residuals] == [bases[2], bases[1]]
    named = build(tmp_path, "named", TUNED, residuals=0, against=[built[0].directory])
    assert [residual.base for residual in named.manifest.residuals] == [bases[0]]
    with pytest.raises(EdgeError, match="is no release"):
        build(tmp_path, "wrong", TUNED, against=[tmp_path])


def test_what_does_not_pay_is_not_made(tmp_path: Path) -> None:
    build(tmp_path, "1", DATA)
    assert residual_paths(build(tmp_path, "2", DATA[::-1])) == []
    assert residual_paths(build(tmp_path, "3", DATA)) == []


def test_the_same_content_is_built_already_whatever_came_since(tmp_path: Path) -> None:
    build(tmp_path, "1", DATA)
    second = build(tmp_path, "2", TUNED)
    again = build_release(tmp_path / "model-2", ReleaseRef("vlm", "2"), tmp_path / "out", ("2025.4.1",))
    assert (again.new, again.manifest) == (False, second.manifest)
    (residual,) = second.manifest.residuals
    (second.directory / ".residuals" / residual.sha256).unlink()
    with pytest.raises(EdgeError, match=r"is damaged: \.residuals/"):
        build_release(tmp_path / "model-2", ReleaseRef("vlm", "2"), tmp_path / "out", ("2025.4.1",))


def test_text_is_packed_where_it_pays_and_weights_are_not(tmp_path: Path) -> None:
    built = build(tmp_path, "1", bytes(BYTES))
    packed = {file.path: file.packed for file in built.manifest.files if file.packed}
    assert list(packed) == [f"{WEIGHTS}.xml"]
    data = (built.directory / ".packed" / packed[f"{WEIGHTS}.xml"].sha256).read_bytes()
    assert lzma.decompress(data) == (built.directory / f"{WEIGHTS}.xml").read_bytes()


def test_text_whose_numbers_moved_has_a_residual_that_gives_it_back(tmp_path: Path) -> None:
    names = random.Random(6)  # noqa: S311  the same in every run
    lines = [(names.randbytes(12).hex(), number * 4096) for number in range(6000)]
    built = []
    for version, shift in (("1", 0), ("2", 1_000_000)):
        source = model(tmp_path / f"model-{version}", DATA)
        moved = (f'"{name}": {offset + shift * (offset > 9_000_000)},\n' for name, offset in lines)
        (source / "offsets.txt").write_text("".join(moved))
        ref = ReleaseRef("vlm", version)
        built.append(build_release(source, ref, tmp_path / "out", ("2025.4.1",), residuals=2))
    first, second = built
    (residual,) = second.manifest.residuals
    (file,) = (file for file in second.manifest.files if file.path == "offsets.txt")
    assert residual.path == file.path
    assert file.packed
    assert residual.size < file.packed.size / 4
    old, new = ((one.directory / file.path).read_bytes() for one in (first, second))
    blob = (second.directory / ".residuals" / residual.sha256).read_bytes()
    index = (second.directory / ".chunks" / str(file.chunk_index)).read_bytes()
    chunks = ChunkIndex.from_bytes(index, file.size).chunks
    for entry in read_table(blob[: residual.table_bytes]):
        chunk = chunks[entry.chunk]
        payload = blob[entry.offset : entry.offset + entry.length]
        base = old[entry.base_offset : entry.base_offset + chunk.size]
        assert restore(payload, base) == new[chunk.offset : chunk.offset + chunk.size]


def test_the_status_list_s_tag_is_no_version(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="the version status is the status list's tag"):
        build(tmp_path, "status", DATA)
