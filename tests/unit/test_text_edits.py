"""Text comes back exactly from edits of whatever stood there before, and the .xml of an IR costs little."""

import re
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovms_edge.chunks import MAX_CHUNK_BYTES, ChunkIndex
from ovms_edge.edits import MARK, Edit, apply_edits, pack_edits
from ovms_edge.errors import EdgeError
from ovms_edge.release.text_edits import align, counterparts, edit_payload
from ovms_edge.residual import restore

LINES = st.lists(
    st.one_of(
        st.sampled_from([b"</port>\n", b"<dim>1</dim>\n", b"\n", b"a\r\n"]),
        st.integers(0, 10**9).map(lambda n: f'<data offset="{n}" size="4" />\n'.encode()),
        st.binary(max_size=20),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(LINES, LINES, st.integers(0, 60), st.integers(0, 60))
def test_any_text_comes_back_from_any_other(old: list[bytes], put: list[bytes], start: int, end: int) -> None:
    before, after = b"".join(old), b"".join([*old[:start], *put, *old[end:]])
    assert restore(edit_payload(after, before), before) == after


def ir(layers: int, grown_at: int) -> bytes:
    """The .xml of an IR whose tensor number ``grown_at`` is larger by a million bytes, all others moved."""
    lines, offset = ["<?xml version='1.0'?>", "<layers>"], 0
    for number in range(layers):
        size = 2_359_296 + (1_000_000 if number == grown_at else 0)
        lines += [
            f'<layer id="{number}" name="model.layers.{number}.weight" type="Const" version="opset1">',
            f'<data element_type="u8" shape="1536, 1536" offset="{offset}" size="{size}" />',
            "<output>", '<port id="0" precision="U8">', "<dim>1536</dim>", "<dim>1536</dim>", "</port>",
            "</output>", "</layer>",
        ]  # fmt: skip
        offset += size
    return "\n".join([*lines, "</layers>", "</net>"]).encode()


def test_an_ir_whose_offsets_moved_costs_a_hundredth() -> None:
    old, new = ir(3000, -1), ir(3000, 5)
    step = 64 << 10
    index = ChunkIndex.of_blocks(new[start : start + step] for start in range(0, len(new), step))
    found = counterparts(index.chunks, align(new, old))
    assert set(found) == set(range(len(index.chunks)))
    cost = 0
    for number, start in found.items():
        chunk = index.chunks[number]
        base = old[start : start + chunk.size]
        payload = edit_payload(new[chunk.offset : chunk.offset + chunk.size], base)
        assert restore(payload, base) == new[chunk.offset : chunk.offset + chunk.size]
        cost += len(payload)
    assert cost < len(new) / 50


def test_lines_are_aligned_past_what_was_put_in_and_taken_out() -> None:
    old = b"a1\nb\nc\nd\ne\nGONE\nf\ng\nh\n"
    new = b"a2\nb\nPUT\nc\nd\ne\nf\ng\nh\n"
    aligned = [new[span.new : span.new_end] for span in align(new, old)]
    assert b"".join(aligned) == new.replace(b"PUT\n", b"")


@pytest.mark.parametrize(
    "payload",
    [
        MARK,
        MARK + b"junk",
        MARK + zlib.compress(struct.pack(">I", 2**31), wbits=-15),
        pack_edits([Edit(0, 4, b"x")])[:-3],
        pack_edits([Edit(0, 2**31, b"")]),
    ],
)
def test_damaged_edits_are_refused(payload: bytes) -> None:
    with pytest.raises(EdgeError, match="residual not readable"):
        apply_edits(payload, b"old text", MAX_CHUNK_BYTES)


def test_edits_that_would_take_much_memory_are_refused() -> None:
    with pytest.raises(EdgeError, match="more than 1000 bytes"):
        apply_edits(pack_edits([Edit(0, 0, bytes(5000))]), b"", 1000)


def test_a_difference_is_never_taken_for_edits() -> None:
    """RFC 1951: 0xff would be a last block of the reserved type."""
    with pytest.raises(zlib.error):
        zlib.decompressobj(-15).decompress(MARK)
    assert re.match(rb"\xff", MARK)
