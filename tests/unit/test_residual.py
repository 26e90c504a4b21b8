import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovms_edge.chunks import MAX_CHUNK_BYTES
from ovms_edge.errors import EdgeError
from ovms_edge.residual import MAGIC, Entry, difference, read_table, restore, write_table
from tests.unit.test_release_cut import content


@given(
    st.binary(max_size=300).flatmap(
        lambda new: st.tuples(st.just(new), st.binary(min_size=len(new), max_size=len(new)))
    )
)
def test_what_a_difference_is_made_of_comes_back(pair: tuple[bytes, bytes]) -> None:
    new, old = pair
    payload = difference(new, old)

    assert zlib.decompress(payload, -15) == bytes((a - b) % 256 for a, b in zip(new, old, strict=True))
    assert restore(payload, old) == new


@pytest.mark.parametrize("size", [(64 << 10) - 1, 64 << 10, (64 << 10) + 1, 1 << 20])
def test_blocks_of_any_size_come_back(size: int) -> None:
    new, old = content((size, 1)), content((size, 2))

    assert restore(difference(new, old), old) == new


def test_few_changes_make_a_small_difference() -> None:
    old = content((1 << 20, 1))
    new = bytearray(old)
    for position in range(0, len(new), 1000):
        new[position] = (new[position] + 1) % 256

    assert len(difference(bytes(new), old)) < len(old) // 100


def test_two_sizes_have_no_difference() -> None:
    with pytest.raises(ValueError, match="3 bytes against 2"):
        difference(b"new", b"ol")


PAYLOAD = difference(b"new bytes", b"old bytes")


@pytest.mark.parametrize(
    ("payload", "old"),
    [
        (b"\xff" + PAYLOAD, b"old bytes"),
        (PAYLOAD[:-1], b"old bytes"),
        (b"", b"old bytes"),
        (PAYLOAD, b"old byte"),
        (PAYLOAD, b"old bytes."),
        (PAYLOAD, bytes(MAX_CHUNK_BYTES + 1)),
    ],
)
def test_a_damaged_difference_is_refused(payload: bytes, old: bytes) -> None:
    with pytest.raises(EdgeError, match="residual not readable"):
        restore(payload, old)


def test_a_difference_that_inflates_without_end_is_cut_off() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = bomb.compress(bytes(64 << 20)) + bomb.flush()

    with pytest.raises(EdgeError, match="10 bytes of differences for 9"):
        restore(payload, b"old bytes")


def test_a_table_says_where_each_payload_lies() -> None:
    data = write_table([(3, 70, 11), (9, 5_000_000_000, 2)])

    assert read_table(data) == (Entry(3, 70, len(data), 11), Entry(9, 5_000_000_000, len(data) + 11, 2))


@pytest.mark.parametrize(
    "data",
    [b"", MAGIC, b"x" + write_table([])[1:], write_table([(1, 2, 3)])[:-1], write_table([(1, 2, 3)]) + b"x"],
)
def test_what_is_no_table_is_refused(data: bytes) -> None:
    with pytest.raises(EdgeError, match="residual not readable"):
        read_table(data)
