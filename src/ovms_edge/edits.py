"""A text as edits of an earlier one: what is copied from it in order, and what stands between.

An IR's .xml changes in every offset when one tensor grows, and a difference byte by byte needs bytes that
stay in their places. Standard library only: the node applies what the builder makes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from ovms_edge.errors import EdgeError

# No raw deflate stream begins with it (RFC 1951, 3.2.3: block type 3 is reserved), so edits are told from
# a payload of differences.
MARK = b"\xff"

_COUNT = struct.Struct(">I")
_COLUMNS = 3


class Edit(NamedTuple):
    """Pass over ``skip`` bytes of the old text, copy ``copy`` bytes of it, then put ``insert``."""

    skip: int
    copy: int
    insert: bytes


def pack_edits(edits: Sequence[Edit]) -> bytes:
    """Return the payload: the numbers by columns, which deflate better than by rows, then what is put."""
    columns = (
        [edit.skip for edit in edits],
        [edit.copy for edit in edits],
        [len(edit.insert) for edit in edits],
    )
    numbers = b"".join(struct.pack(f">{len(edits)}I", *column) for column in columns)
    text = b"".join(edit.insert for edit in edits)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return MARK + deflate.compress(_COUNT.pack(len(edits)) + numbers + text) + deflate.flush()


def apply_edits(payload: bytes | memoryview, old: bytes, limit: int) -> bytes:
    """Return the new text; raises EdgeError if ``payload`` is damaged or makes more than ``limit`` bytes."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflate.decompress(payload[len(MARK) :], limit)
        (count,) = _COUNT.unpack_from(data)
        numbers = struct.unpack_from(f">{_COLUMNS * count}I", data, _COUNT.size)
    except (zlib.error, struct.error) as error:
        raise _unreadable(str(error)) from error
    if not inflate.eof:
        raise _unreadable(f"more than {limit} bytes")
    skips, copies, inserts = (numbers[column * count : (column + 1) * count] for column in range(_COLUMNS))
    if sum(copies) + sum(inserts) > limit:
        raise _unreadable(f"a text of more than {limit} bytes")
    text = memoryview(data)[_COUNT.size + len(numbers) * _COUNT.size :]
    parts: list[bytes | memoryview] = []
    at = put = 0
    for skip, copy, insert in zip(skips, copies, inserts, strict=True):
        at += skip
        parts += (old[at : at + copy], text[put : put + insert])
        at, put = at + copy, put + insert
    return b"".join(parts)


def _unreadable(detail: str) -> EdgeError:
    return EdgeError(f"residual not readable: {detail}", "build and publish the release again")
