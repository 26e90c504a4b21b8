"""Find the edits that make a text from an earlier one, line by line, numbers aside."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from ovms_edge.chunks import Chunk
from ovms_edge.edits import Edit, pack_edits

# How far a text is looked ahead, in lines, for where it goes on as the other, and how many must agree then.
_AHEAD, _AGREE = 200, 3


@dataclass(frozen=True)
class Span:
    """A line of the new text and its counterpart in the old one, as offsets in bytes."""

    new: int
    new_end: int
    old: int
    old_end: int


def align(new: bytes, old: bytes) -> list[Span]:
    """Return the lines that both have in the same order, the same but for the numbers in them."""
    ours, theirs = _Lines(new), _Lines(old)
    return [
        Span(ours.at[i], ours.at[i + 1], theirs.at[j], theirs.at[j + 1]) for i, j in _matches(ours, theirs)
    ]


def counterparts(chunks: Sequence[Chunk], spans: Sequence[Span]) -> dict[int, int]:
    """Return where in the old text the counterpart of each chunk of the new one begins, by its number."""
    starts = [span.new for span in spans]
    found = {}
    for number, chunk in enumerate(chunks):
        place = bisect_right(starts, chunk.offset) - 1
        if place >= 0:
            span = spans[place]
            found[number] = span.old + min(chunk.offset - span.new, span.old_end - span.old)
    return found


def edit_payload(new: bytes, old: bytes) -> bytes:
    """Return what ``ovms_edge.residual.restore`` makes ``new`` of, given ``old``."""
    return pack_edits(list(_edits(new, old)))


def _edits(new: bytes, old: bytes) -> Iterator[Edit]:
    """Join copies that follow one another in both texts."""
    at = written = skip = copy = 0
    for start, end, source in _copies(new, align(new, old), old):
        if start != written or source != at:
            yield Edit(skip, copy, new[written:start])
            skip, copy = source - at, 0
        copy += end - start
        at, written = source + end - start, end
    yield Edit(skip, copy, new[written:])


def _copies(new: bytes, spans: Sequence[Span], old: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (start, end, offset in the old text) of what is the same in lines that are alike."""
    for span in spans:
        ours, theirs = new[span.new : span.new_end], old[span.old : span.old_end]
        if ours == theirs:
            yield span.new, span.new_end, span.old
            continue
        shorter = min(len(ours), len(theirs))
        head = next((n for n in range(shorter) if ours[n] != theirs[n]), shorter)
        tail = next((n for n in range(shorter - head) if ours[-1 - n] != theirs[-1 - n]), shorter - head)
        if head:
            yield span.new, span.new + head, span.old
        if tail:
            yield span.new_end - tail, span.new_end, span.old_end - tail


class _Lines:
    """``at``: where the lines begin, and the end; ``masks``: the lines with every number as 0."""

    def __init__(self, text: bytes) -> None:
        lines = text.splitlines(keepends=True)
        self.at = [0, *accumulate(map(len, lines))]
        self.masks = re.sub(rb"\d+", b"0", text).splitlines(keepends=True)

    def agree(self, i: int, other: _Lines, j: int) -> bool:
        ours, theirs = self.masks[i : i + _AGREE], other.masks[j : j + _AGREE]
        return bool(ours) and ours == theirs


def _matches(ours: _Lines, theirs: _Lines) -> Iterator[tuple[int, int]]:
    i = j = 0
    while i < len(ours.masks) and j < len(theirs.masks):
        if ours.masks[i] == theirs.masks[j]:
            yield i, j
            i, j = i + 1, j + 1
            continue
        for ahead in range(1, _AHEAD):
            if ours.agree(i + ahead, theirs, j):
                i += ahead
                break
            if ours.agree(i, theirs, j + ahead):
                j += ahead
                break
        else:
            i, j = i + 1, j + 1
