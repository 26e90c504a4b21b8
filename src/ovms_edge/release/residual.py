"""Make the residual of a file against an earlier one: weights tensor by tensor, text by its lines."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ovms_edge.chunks import Chunk, ChunkIndex
from ovms_edge.ovms.ir import Constant
from ovms_edge.residual import difference, write_table

# A payload nearly as large as its chunk is not worth the second way to the same bytes.
WORTH_SHARE = 0.9
# Of what a node that has the old file would fetch without the residual.
WORTH_SAVING = 0.1


@dataclass(frozen=True)
class Part:
    """A run of ``size`` bytes that the new file has at ``offset`` and the old one ``shift`` bytes further."""

    offset: int
    size: int
    shift: int


def matching_parts(new: Sequence[Constant], old: Sequence[Constant]) -> list[Part]:
    """Return the tensors that both have, in the order of their offsets.

    They are matched by name and size; those whose names were numbered anew by the export, by place and size
    in a model of as many tensors.
    """
    by_name = {(constant.name, constant.size): constant for constant in reversed(old)}
    in_place = list(old) if len(old) == len(new) else []
    parts: dict[int, Part] = {}
    for number, constant in enumerate(new):
        match = by_name.get((constant.name, constant.size))
        if match is None and in_place and in_place[number].size == constant.size:
            match = in_place[number]
        if match is not None and constant.size:
            parts.setdefault(
                constant.offset, Part(constant.offset, constant.size, match.offset - constant.offset)
            )
    return [parts[offset] for offset in sorted(parts)]


def base_offsets(chunks: Sequence[Chunk], parts: Sequence[Part], base_size: int) -> dict[int, int]:
    """Return where in the old file (of ``base_size`` bytes) the counterpart of each chunk begins, by number.

    A chunk has one if every tensor that reaches into it lies as far from the others there as here.
    """
    found = {}
    first = 0
    for number, chunk in enumerate(chunks):
        end = chunk.offset + chunk.size
        while first < len(parts) and parts[first].offset + parts[first].size <= chunk.offset:
            first += 1
        last = first
        while last < len(parts) and parts[last].offset < end:
            last += 1
        shifts = {part.shift for part in parts[first:last]}
        if len(shifts) == 1:
            start = chunk.offset + shifts.pop()
            if start >= 0 and start + chunk.size <= base_size:
                found[number] = start
    return found


def make_residual(
    new: Path,
    index: ChunkIndex,
    old: Path,
    old_index: ChunkIndex,
    offsets: dict[int, int],
    target: Path,
    payload_of: Callable[[bytes, bytes], bytes] = difference,
) -> bytes | None:
    """Write to ``target`` what makes chunks of ``new`` from ``old``; return its table, None if not worth it.

    Chunks that the old file has anyway are left out.
    """
    here = {chunk.digest for chunk in old_index.chunks}
    parts, saved = [], 0
    with (
        new.open("rb") as after,
        old.open("rb") as before,
        tempfile.TemporaryFile(dir=target.parent) as payloads,
    ):
        for number, chunk, start in _wanted(index, offsets, here):
            payload = payload_of(_read(after, chunk.offset, chunk.size), _read(before, start, chunk.size))
            if len(payload) < WORTH_SHARE * chunk.size:
                parts.append((number, start, len(payload)))
                saved += chunk.size - len(payload)
                payloads.write(payload)
        table = write_table(parts)
        missing = sum(
            {chunk.digest: chunk.size for chunk in index.chunks if chunk.digest not in here}.values()
        )
        if not parts or saved - len(table) < WORTH_SAVING * missing:
            return None
        payloads.seek(0)
        with target.open("wb") as residual:
            residual.write(table)
            shutil.copyfileobj(payloads, residual)
    return table


def _wanted(index: ChunkIndex, offsets: dict[int, int], here: set[bytes]) -> Iterator[tuple[int, Chunk, int]]:
    seen = set(here)
    for number, start in offsets.items():
        chunk = index.chunks[number]
        if chunk.digest not in seen:
            seen.add(chunk.digest)
            yield number, chunk, start


def _read(stream: BinaryIO, offset: int, size: int) -> bytes:
    stream.seek(offset)
    return stream.read(size)
