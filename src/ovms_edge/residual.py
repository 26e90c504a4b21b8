"""Residuals: a file as differences against an earlier one, chunk by chunk: of bytes, or of text.

A fine-tune changes a little in every tensor, so no chunk stays as it was, but most bytes do: ``(new - old)
mod 256`` is mostly zero and deflates to a tenth. Standard library only: the node applies what the builder
makes. The format is described in docs/contracts.md.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from ovms_edge.chunks import MAX_CHUNK_BYTES
from ovms_edge.edits import MARK, apply_edits
from ovms_edge.errors import EdgeError

MAGIC = b"ovms-edge.residual/1\n"

_ENTRY = struct.Struct(">IQI")  # chunk of the new file, offset in the old one, payload's length
_COUNT = struct.Struct(">I")
# Python adds integers of 64 KiB at 700 MB/s, of 1 MiB at 270: they stay in the processor's cache.
_BLOCK_BYTES = 64 << 10
_LOW_BITS = int.from_bytes(b"\x7f" * _BLOCK_BYTES, "little")
_HIGH_BITS = int.from_bytes(b"\x80" * _BLOCK_BYTES, "little")


@dataclass(frozen=True)
class Entry:
    """How chunk number ``chunk`` of the new file comes from as many bytes at ``base_offset`` of the old one.

    The deflated difference is ``length`` bytes at ``offset`` of the residual.
    """

    chunk: int
    base_offset: int
    offset: int
    length: int


def write_table(parts: Iterable[tuple[int, int, int]]) -> bytes:
    """Return the head of a residual: (chunk, base_offset, length) of each payload, in their order."""
    packed = [_ENTRY.pack(*part) for part in parts]
    return MAGIC + _COUNT.pack(len(packed)) + b"".join(packed)


def read_table(data: bytes) -> tuple[Entry, ...]:
    """Return the entries of a residual from its head; raises EdgeError if ``data`` is none."""
    start = len(MAGIC) + _COUNT.size
    if not data.startswith(MAGIC) or len(data) < start:
        raise _unreadable(f"{len(data)} bytes that do not have its form")
    (count,) = _COUNT.unpack_from(data, len(MAGIC))
    if len(data) != start + count * _ENTRY.size:
        raise _unreadable(f"{count} chunks announced in {len(data)} bytes")
    entries = []
    offset = len(data)
    for chunk, base_offset, length in _ENTRY.iter_unpack(memoryview(data)[start:]):
        entries.append(Entry(chunk, base_offset, offset, length))
        offset += length
    return tuple(entries)


def difference(new: bytes, old: bytes) -> bytes:
    """Return ``(new - old) mod 256`` byte by byte, deflated; both of one size."""
    if len(new) != len(old):
        raise ValueError(f"{len(new)} bytes against {len(old)}")
    deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    blocks = [
        deflate.compress(_subtract(new[start : start + _BLOCK_BYTES], old[start : start + _BLOCK_BYTES]))
        for start in range(0, len(new), _BLOCK_BYTES)
    ]
    return b"".join(blocks) + deflate.flush()


def restore(payload: bytes | memoryview, old: bytes) -> bytes:
    """Return the new bytes that ``difference`` or edits were made of; raises EdgeError if it is damaged.

    Whatever ``payload`` says, not much more memory is taken than a chunk may have.
    """
    if len(old) > MAX_CHUNK_BYTES:
        raise _unreadable(f"a chunk of {len(old)} bytes")
    if payload[: len(MARK)] == MARK:
        return apply_edits(payload, old, MAX_CHUNK_BYTES)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        changes = inflate.decompress(payload, len(old) + 1)
    except zlib.error as error:
        raise _unreadable(str(error)) from error
    if len(changes) != len(old) or not inflate.eof:
        raise _unreadable(f"{len(changes)} bytes of differences for {len(old)}")
    return b"".join(
        _add(changes[start : start + _BLOCK_BYTES], old[start : start + _BLOCK_BYTES])
        for start in range(0, len(old), _BLOCK_BYTES)
    )


# Bytes are added side by side in one integer: the highest bit of each is kept out of the sum, so that
# nothing is carried into the next byte, and put back by exclusive or (Knuth, TAOCP 4A, 7.1.3).


def _add(left: bytes, right: bytes) -> bytes:
    a, b = int.from_bytes(left, "little"), int.from_bytes(right, "little")
    total = ((a & _LOW_BITS) + (b & _LOW_BITS)) ^ ((a ^ b) & _HIGH_BITS)
    return total.to_bytes(len(left), "little")


def _subtract(left: bytes, right: bytes) -> bytes:
    low, high = _bits(len(left))
    a, b = int.from_bytes(left, "little"), int.from_bytes(right, "little")
    rest = ((a | high) - (b & low)) ^ ((a ^ b ^ high) & high)
    return rest.to_bytes(len(left), "little")


def _bits(size: int) -> tuple[int, int]:
    if size == _BLOCK_BYTES:
        return _LOW_BITS, _HIGH_BITS
    spare = 8 * (_BLOCK_BYTES - size)
    return _LOW_BITS >> spare, _HIGH_BITS >> spare


def _unreadable(detail: str) -> EdgeError:
    return EdgeError(f"residual not readable: {detail}", "build and publish the release again")
