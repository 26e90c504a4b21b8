"""Lines made of parts that each have a style, cut to a width, as plain text or with colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ovms_edge.rollout.words import one_line

_RESET = "\x1b[0m"
_CUT = "..."


class Style(StrEnum):
    """What a part means; its value is the colour (ECMA-48, Select Graphic Rendition)."""

    PLAIN = ""
    STRONG = "1"
    FAINT = "2"
    GOOD = "32"
    BAD = "1;31"
    UNSURE = "33"
    BUSY = "36"


@dataclass(frozen=True, slots=True)
class Part:
    """Some text of a line."""

    text: str
    style: Style = Style.PLAIN


Line = tuple[Part, ...]


def line(*parts: Part | str) -> Line:
    """Return a line."""
    return tuple(part if isinstance(part, Part) else Part(part) for part in parts)


def rendered(parts: Line, width: int, colour: bool) -> str:
    """Return the line, no wider than ``width`` characters."""
    shown = [Part(one_line(part.text), part.style) for part in parts]
    while shown and not shown[-1].text.rstrip():
        shown.pop()
    if sum(len(part.text) for part in shown) > width:
        shown = _cut(shown, width)
    return "".join(
        f"\x1b[{part.style}m{part.text}{_RESET}" if colour and part.style and part.text else part.text
        for part in shown
    )


def _cut(parts: list[Part], width: int) -> list[Part]:
    left, kept = max(0, width - len(_CUT)), []
    for part in parts:
        kept.append(Part(part.text[:left], part.style))
        left -= len(kept[-1].text)
        if not left:
            break
    return [*kept, Part(_CUT[:width])]


def aligned(rows: Sequence[Sequence[Part]], right: Iterable[int] = ()) -> list[Line]:
    """Return rows as lines with columns of equal width; ``right``: columns of numbers."""
    numbers = set(right)
    widths = [max(len(row[column].text) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = []
    for row in rows:
        parts: list[Part] = []
        for column, (part, width) in enumerate(zip(row, widths, strict=True)):
            gap = "" if column == 0 else "  "
            filling = " " * (width - len(part.text))
            if column in numbers:
                parts += [Part(gap + filling), part]
            else:
                parts += [Part(gap), part, Part(filling)]
        lines.append(tuple(parts))
    return lines
