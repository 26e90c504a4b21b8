"""``TAG:index:name``: how MediaPipe writes streams and side packets.

Source: openvinotoolkit/mediapipe (b2dccf07, as OVMS 2025.4.1 has it) mediapipe/framework/tool/
validate_name.cc and tag_map.cc; OVMS takes what is behind the last colon for the name
(model_server src/mediapipe_internal/mediapipe_utils.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ovms_edge.graph.text.syntax import Entry

_STREAM = re.compile(
    r"(?:(?P<tag>[A-Z_][A-Z0-9_]*):(?:(?P<index>0|[1-9][0-9]*):)?)?(?P<name>[a-z_][a-z0-9_]*)"
)
_TAG_INDEX = re.compile(r"(?P<tag>(?:[A-Z_][A-Z0-9_]*)?)(?::(?P<index>0|[1-9][0-9]*))?")


@dataclass(frozen=True)
class Stream:
    """One stream or side packet of a graph or node, and where it is written."""

    tag: str
    index: int
    name: str
    entry: Entry


@dataclass(frozen=True)
class StreamFault:
    """What MediaPipe says of a stream that it refuses."""

    text: str
    fix: str
    entry: Entry


def streams(entries: Iterable[Entry]) -> Iterator[Stream | StreamFault]:
    """Yield each entry as a stream, or what is wrong with it: its form, or a tag and index used before."""
    taken: dict[tuple[str, int], str] = {}
    last: dict[str, Entry] = {}
    untagged = 0
    for entry in entries:
        match = _STREAM.fullmatch(entry.text)
        if match is None:
            text = f'TAG:index:name is invalid, "{entry.text}" does not match'
            yield StreamFault(
                text, "write it as TAG:name, the tag in capitals, the name in small letters", entry
            )
            continue
        tag = match["tag"] or ""
        index = int(match["index"] or 0) if tag else untagged
        untagged += not tag
        name = match["name"]
        if (tag, index) in taken:
            text = (
                f'tag "{tag}" index {index} already had a name "{taken[tag, index]}" '
                f'but is being reassigned a name "{name}"'
            )
            yield StreamFault(text, "keep one of the two", entry)
            continue
        taken[tag, index] = name
        last[tag] = entry
        yield Stream(tag, index, name, entry)
    for tag, entry in last.items():
        used = {index for of_tag, index in taken if of_tag == tag}
        if used != set(range(len(used))):
            text = f'Not all indexes were assigned names. Tag "{tag}" has {sorted(used)}'
            yield StreamFault(text, "count the indexes of a tag from 0, without a gap", entry)


def last_name(stream: str) -> str:
    """Return what OVMS takes for the name of a stream, before MediaPipe looks at it."""
    return stream.removesuffix(":").rpartition(":")[2]


def tag_index(text: str) -> tuple[str, int] | None:
    """Return the tag and index of ``LOOPBACK:0`` (no index: 0), None if it is none."""
    match = _TAG_INDEX.fullmatch(text)
    return (match["tag"], int(match["index"] or 0)) if match else None
