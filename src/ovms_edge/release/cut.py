"""Where the files of a release are cut into chunks.

The weights of an IR are cut at its tensors, whatever their offsets are: a tensor that is inserted or grows
moves all that follow, but their chunks begin at the same byte of the same tensor as before, and keep their
digests. Any other file is cut by its content (FastCDC, Xia and others, USENIX ATC 2016).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from pyfastcdc import FastCDC

from ovms_edge.chunks import check_cuts
from ovms_edge.errors import EdgeError
from ovms_edge.ovms.ir import Constant, read_constants

# A chunk costs 36 bytes of index and a lookup, a changed byte its whole chunk.
TARGET_CHUNK_BYTES = 1 << 20
# What is as large as this begins and ends its own chunks: small neighbours group between two such, so an
# insertion regroups only those up to the next large tensor.
ALONE_BYTES = 256 << 10
# A smaller file is fetched whole: its index and the requests would cost what it saves.
SMALLEST_CUT_FILE_BYTES = 128 << 10

_CONTENT_CHUNKS = FastCDC(avg_size=64 << 10, min_size=16 << 10, max_size=256 << 10)


def file_cuts(path: Path) -> tuple[int, ...]:
    """Return where the chunks of ``path`` begin, and its size; none for an empty file."""
    size = path.stat().st_size
    if size < SMALLEST_CUT_FILE_BYTES:
        return (0, size) if size else ()
    ir = path.with_suffix(".xml")
    if path.suffix == ".bin" and ir.is_file():
        try:
            return tensor_cuts(read_constants(ir), size)
        except (EdgeError, ValueError):
            pass  # the model's own are whole, so this is another .xml than that of an IR
    return check_cuts((*(chunk.offset for chunk in _CONTENT_CHUNKS.cut_file(path)), size), size)


def tensor_cuts(constants: Iterable[Constant], size: int) -> tuple[int, ...]:
    """Return where the chunks of a ``.bin`` of ``size`` bytes begin, and ``size`` itself; none for 0 bytes.

    Small neighbours are merged up to TARGET_CHUNK_BYTES, larger tensors are split into pieces of that
    size. What no constant covers (padding) is cut like a tensor of its own. Raises ValueError if a
    constant lies outside of the file.
    """
    if size == 0:
        return ()
    cuts = [0]
    group = 0
    for start, end in pairwise(_borders(constants, size)):
        length = end - start
        if length >= ALONE_BYTES or group + length > TARGET_CHUNK_BYTES:
            _cut(cuts, start)
            group = 0
        if length >= ALONE_BYTES:
            for offset in range(start + TARGET_CHUNK_BYTES, end, TARGET_CHUNK_BYTES):
                _cut(cuts, offset)
            _cut(cuts, end)
        else:
            group += length
    _cut(cuts, size)
    return check_cuts(cuts, size)


def _borders(constants: Iterable[Constant], size: int) -> Iterator[int]:
    """Yield every offset at which a constant begins or ends, 0 and ``size`` included, once and in order."""
    borders = {0, size}
    for constant in constants:
        end = constant.offset + constant.size
        if end > size:
            raise ValueError(f"constant {constant.name!r} ends at {end} of {size} bytes")
        borders.update((constant.offset, end))
    return iter(sorted(borders))


def _cut(cuts: list[int], offset: int) -> None:
    if offset != cuts[-1]:
        cuts.append(offset)
