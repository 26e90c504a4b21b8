"""Chunks that follow the tensors: any two versions of a model reassemble, and share what they share."""

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovms_edge.chunks import ChunkIndex
from ovms_edge.errors import EdgeError
from ovms_edge.ovms.ir import Constant
from ovms_edge.release.cut import ALONE_BYTES, TARGET_CHUNK_BYTES, file_cuts, tensor_cuts
from ovms_edge.release.index import index_file

Tensor = tuple[int, int]  # size in bytes, seed of the content

SIZES = st.one_of(
    st.integers(0, 9),
    st.integers(10, ALONE_BYTES),
    st.sampled_from([ALONE_BYTES - 1, ALONE_BYTES, TARGET_CHUNK_BYTES, TARGET_CHUNK_BYTES + 1, 2_500_000]),
)
TENSORS = st.lists(st.tuples(SIZES, st.integers(0, 5)), max_size=8)


def content(tensor: Tensor) -> bytes:
    size, seed = tensor
    return hashlib.shake_128(f"{size} {seed}".encode()).digest(size)


def model(tensors: list[Tensor], padding: int = 0) -> tuple[bytes, list[Constant]]:
    data = b""
    constants = []
    for number, tensor in enumerate(tensors):
        constants.append(Constant(f"t{number}", len(data), tensor[0]))
        data += content(tensor)
    return data + bytes(padding), constants


def indexed(data: bytes, constants: list[Constant]) -> ChunkIndex:
    cuts = tensor_cuts(constants, len(data))
    return ChunkIndex.of_blocks(data[start:end] for start, end in pairwise(cuts))


@settings(max_examples=60)
@given(TENSORS, TENSORS, st.integers(0, 64))
def test_any_version_reassembles_from_another_and_what_it_lacks(
    before: list[Tensor], after: list[Tensor], padding: int
) -> None:
    old, old_constants = model(before)
    new, new_constants = model(after, padding)
    here = {
        chunk.digest: old[chunk.offset : chunk.offset + chunk.size]
        for chunk in indexed(old, old_constants).chunks
    }
    index = indexed(new, new_constants)

    parts = [here.get(chunk.digest, new[chunk.offset : chunk.offset + chunk.size]) for chunk in index.chunks]

    assert b"".join(parts) == new
    assert index.size == len(new)


@settings(max_examples=60)
@given(TENSORS, TENSORS)
def test_large_tensors_that_both_have_are_shared_whatever_their_offsets(
    before: list[Tensor], after: list[Tensor]
) -> None:
    shared = {tensor for tensor in before if tensor[0] >= ALONE_BYTES} & set(after)
    here = {chunk.digest for chunk in indexed(*model(before)).chunks}
    data, constants = model(after)
    missing = [chunk for chunk in indexed(data, constants).chunks if chunk.digest not in here]

    for tensor, constant in zip(after, constants, strict=True):
        if tensor in shared:
            assert not [
                chunk
                for chunk in missing
                if constant.offset <= chunk.offset < constant.offset + constant.size
            ]


@settings(max_examples=60)
@given(TENSORS)
def test_chunks_are_neither_larger_nor_many_more_than_they_need_to_be(tensors: list[Tensor]) -> None:
    data, constants = model(tensors)
    sizes = [chunk.size for chunk in indexed(data, constants).chunks]

    assert all(size <= TARGET_CHUNK_BYTES for size in sizes)
    large = sum(size >= ALONE_BYTES for size, _ in tensors)
    assert len(sizes) <= 2 * len(data) / TARGET_CHUNK_BYTES + 2 * large + 1


def test_an_insertion_in_the_middle_changes_only_its_own_chunks() -> None:
    tensors = [(3_000_000, 1), (400, 2), (900_000, 3), (300, 4), (2_000_000, 5)]
    before = indexed(*model(tensors))
    after = indexed(*model([*tensors[:3], (1_000_064, 6), *tensors[3:]]))

    new = {chunk.digest for chunk in after.chunks} - {chunk.digest for chunk in before.chunks}

    assert sum(chunk.size for chunk in after.chunks if chunk.digest in new) == 1_000_064


def test_equal_data_that_is_written_once_is_cut_once() -> None:
    twice = [Constant("a", 0, 600_000), Constant("b", 0, 600_000), Constant("c", 600_000, 600_000)]

    assert tensor_cuts(twice, 1_200_000) == (0, 600_000, 1_200_000)


def test_an_empty_file_is_not_cut() -> None:
    assert tensor_cuts([Constant("none", 0, 0)], 0) == ()


def test_a_constant_beyond_the_file_is_refused() -> None:
    with pytest.raises(ValueError, match="constant 'w' ends at 11 of 10 bytes"):
        tensor_cuts([Constant("w", 1, 10)], 10)


def test_the_weights_of_an_ir_are_cut_at_its_tensors(tmp_path: Path) -> None:
    write_ir(tmp_path / "m.xml", [300_000, 300_000])
    (tmp_path / "m.bin").write_bytes(bytes(600_000))

    assert file_cuts(tmp_path / "m.bin") == (0, 300_000, 600_000)


def write_ir(path: Path, sizes: list[int]) -> None:
    layers = "".join(
        f'<layer name="w" type="Const"><data offset="{sum(sizes[:number])}" size="{size}"/></layer>'
        for number, size in enumerate(sizes)
    )
    path.write_text(f'<?xml version="1.0"?><net><layers>{layers}</layers></net>')


@pytest.mark.parametrize("xml", [None, "<html/>"])
def test_a_file_without_tensors_is_cut_by_its_content(tmp_path: Path, xml: str | None) -> None:
    if xml:
        (tmp_path / "m.xml").write_text(xml)
    before = content((2_000_000, 1))
    after = before[:700_000] + b"inserted" + before[700_000:]
    (tmp_path / "m.bin").write_bytes(before)
    old = index_file(tmp_path / "m.bin", file_cuts(tmp_path / "m.bin"))[1]
    (tmp_path / "m.bin").write_bytes(after)
    new = index_file(tmp_path / "m.bin", file_cuts(tmp_path / "m.bin"))[1]

    here = {chunk.digest for chunk in old.chunks}
    assert 0 < sum(chunk.size for chunk in new.chunks if chunk.digest not in here) <= 3 * (256 << 10)
    assert len(new.chunks) > 8


@pytest.mark.parametrize(("size", "cuts"), [(0, ()), (1, (0, 1)), (131_071, (0, 131_071))])
def test_a_small_file_is_one_chunk(tmp_path: Path, size: int, cuts: tuple[int, ...]) -> None:
    (tmp_path / "f").write_bytes(bytes(size))

    assert file_cuts(tmp_path / "f") == cuts


def test_a_file_is_read_once_for_both_digests(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"one" + b"three")
    counted: list[int] = []

    sha256, index = index_file(path, (0, 3, 8), counted.append)

    assert sha256 == hashlib.sha256(b"onethree").hexdigest()
    assert index == ChunkIndex.of_blocks([b"one", b"three"])
    assert counted == [3, 5]


@pytest.mark.parametrize("cuts", [(), (0, 3), (0, 3, 9)])
def test_a_file_that_changed_after_it_was_cut_is_refused(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"onethree")

    with pytest.raises(EdgeError, match="changed while it was read"):
        index_file(path, cuts)
