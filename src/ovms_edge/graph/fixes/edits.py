"""Changes of single fields in the text itself, so that comments and layout around them stay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ovms_edge.graph.fixes.options import Option
from ovms_edge.graph.text.syntax import Entry, Message, print_message

_REST_OF_LINE = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|$)")


@dataclass(frozen=True)
class Edit:
    """``text`` in place of the characters from ``start`` up to ``end`` (offsets)."""

    start: int
    end: int
    text: str


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Return ``text`` with all ``edits`` made; they do not overlap."""
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def removal(entry: Entry, text: str) -> Edit:
    """Return the edit that takes ``entry`` out: with its line and comment where it stands alone there."""
    line_start = text.rfind("\n", 0, entry.start) + 1
    rest = _REST_OF_LINE.match(text, entry.end)
    if rest and not text[line_start : entry.start].strip():
        return Edit(line_start, rest.end(), "")
    return Edit(entry.start, entry.end, "")


def option_edits(text: str, message: Message, options: Sequence[Option]) -> list[Edit]:
    """Return the edits that make the fields of ``message`` be ``options``; equal fields are left alone."""
    edits: list[Edit] = []
    spans = {entry.start: entry for entry in message.entries}  # the values of a list share one span
    for start, entry in spans.items():
        before = [(old.name, old.value) for old in message.entries if old.start == start]
        after = [option for option in options if option.source and option.source.start == start]
        if [(option.name, option.value) for option in after] == before:
            continue
        if not after:
            edits.append(removal(entry, text))
            continue
        separator = text[entry.end - 1] if text[entry.end - 1] in ",;" else ""
        edits.append(Edit(start, entry.end, _printed(after, _indent_of(text, start), separator)))
    new = [option for option in options if option.source is None]
    return [*edits, *_insertion(text, message, new)]


def _insertion(text: str, message: Message, options: Sequence[Option]) -> list[Edit]:
    if not options:
        return []
    line_start = text.rfind("\n", 0, message.end) + 1
    closing_alone = not text[line_start : message.end].strip()
    if not closing_alone:
        return [Edit(message.end, message.end, f" {_printed(options, '', '')} ")]
    first = message.entries[0].start if message.entries else None
    indent = _indent_of(text, first) if first is not None else text[line_start : message.end] + "  "
    return [Edit(line_start, line_start, f"{indent}{_printed(options, indent, '')}\n")]


def _printed(options: Sequence[Option], indent: str, separator: str) -> str:
    printed = (
        print_message(Message((Entry(option.name, option.value, 0, 0, 0, 0),)), indent).strip()
        for option in options
    )
    return f"\n{indent}".join(field + separator for field in printed)


def _indent_of(text: str, offset: int) -> str:
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return line if not line.strip() else " " * (len(line) - len(line.lstrip()))
