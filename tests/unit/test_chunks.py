import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovms_edge.chunks import MAGIC, MAX_CHUNK_BYTES, ChunkIndex, check_cuts
from ovms_edge.errors import EdgeError


@given(st.lists(st.binary(min_size=1, max_size=40)))
def test_an_index_reads_back_as_it_was_written(blocks: list[bytes]) -> None:
    index = ChunkIndex.of_blocks(blocks)
    data = index.to_bytes()

    assert ChunkIndex.from_bytes(data, len(b"".join(blocks))) == index
    assert len(data) == len(MAGIC) + 36 * len(blocks)
    assert index.sha256 == hashlib.sha256(data).hexdigest()


def test_chunks_lie_one_after_the_other() -> None:
    index = ChunkIndex.of_blocks([b"one", b"three"])

    assert [(chunk.offset, chunk.size) for chunk in index.chunks] == [(0, 3), (3, 5)]
    assert index.chunks[1].digest == hashlib.sha256(b"three").digest()
    assert index.size == 8


def test_an_empty_file_has_no_chunks() -> None:
    assert ChunkIndex.from_bytes(MAGIC, 0).chunks == ()


INDEX = ChunkIndex.of_blocks([b"one", b"three"]).to_bytes()


@pytest.mark.parametrize(
    ("data", "size", "detail"),
    [
        (b"", 0, "0 bytes that do not have its form"),
        (INDEX[:-1], 8, "bytes that do not have its form"),
        (b"x" + INDEX[1:], 8, "bytes that do not have its form"),
        (INDEX, 9, "it describes 8 bytes, the file has 9"),
        (INDEX[:-36], 8, "it describes 3 bytes, the file has 8"),
        (MAGIC + bytes(36), 0, "a chunk of 0 bytes at 0"),
        (MAGIC + b"\xff" * 36, 0xFFFFFFFF, f"a chunk of 4294967295 bytes at 0, 1 to {MAX_CHUNK_BYTES}"),
    ],
)
def test_what_is_no_index_of_the_file_is_refused(data: bytes, size: int, detail: str) -> None:
    with pytest.raises(EdgeError, match=detail) as refused:
        ChunkIndex.from_bytes(data, size)
    assert "build and publish the release again" in refused.value.remedy


def test_cuts_that_divide_the_file_are_returned() -> None:
    assert check_cuts(iter([0, 3, 8]), 8) == (0, 3, 8)


TOO_FAR = [0, MAX_CHUNK_BYTES + 1]


@pytest.mark.parametrize("cuts", [[], [0], [1, 8], [0, 7], [0, 3, 3, 8], [0, 5, 3, 8], TOO_FAR])
def test_cuts_that_do_not_divide_the_file_are_refused(cuts: list[int]) -> None:
    with pytest.raises(ValueError, match="do not divide"):
        check_cuts(cuts, cuts[-1] if cuts and cuts[-1] > 8 else 8)
