"""How many switches this node has seen, and the last ones: from the journal, which is kept from growing.

Counted is what stands in the journal, once: ``switch-counts.json`` says up to which byte of which journal.
So a kill between a switch and its count, or between the count and the journal's turn, loses nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ovms_edge.node.files import sync_directory, write_atomic
from ovms_edge.node.output import log
from ovms_edge.node.paths import StatePaths

RESULTS = ("activated", "repaired", "rolled_back", "settled", "failed")
JOURNAL_BYTES = 1 << 20
_LAST = 10
_TAIL_BYTES = 64 << 10
_SHOWN = ("time", "event", "run", "release", "reason", "serving", "first_token_seconds", "total_seconds")


@dataclass(frozen=True)
class SwitchCounts:
    """Switches by result, up to byte ``offset`` of the journal whose first line has this digest."""

    journal: str = ""
    offset: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))


def switch_history(paths: StatePaths) -> dict[str, Any]:
    """Return ``counts`` by result over this node's life, and the ``last`` 10 switches, the newest first."""
    last: list[dict[str, Any]] = []
    for path in (paths.journal, paths.journal_before):
        if len(last) < _LAST:
            last += reversed(list(_switches(_tail(path))))
    shown = [{key: entry[key] for key in _SHOWN if key in entry} for entry in last[:_LAST]]
    return {"counts": count_switches(paths).counts, "last": shown}


def keep_history(paths: StatePaths) -> None:
    """Remember the counts, and let a journal of more than ``JOURNAL_BYTES`` become the older half.

    For one process at a time.
    """
    counted = count_switches(paths)
    if counted != _load(paths.switch_counts):
        write_atomic(paths.switch_counts, json.dumps(asdict(counted)).encode() + b"\n", 0o600)
    if paths.journal.exists() and paths.journal.stat().st_size > JOURNAL_BYTES:
        paths.journal.rename(paths.journal_before)
        sync_directory(paths.root)


def count_switches(paths: StatePaths) -> SwitchCounts:
    """Return the counts kept, and what the journal has had since."""
    known = _load(paths.switch_counts)
    counted = known or SwitchCounts()
    unread = [paths.journal_before, paths.journal]
    if known and _identity(paths.journal_before) != known.journal:
        unread.remove(paths.journal_before)
    for path in unread:
        counted = _count(path, counted)
    return counted


def _count(path: Path, before: SwitchCounts) -> SwitchCounts:
    identity = _identity(path)
    if not identity:
        return before
    offset = before.offset if identity == before.journal else 0
    with path.open("rb") as stream:
        stream.seek(offset)
        lines = stream.read().rpartition(b"\n")[:2]  # a line without an end is still being written
    text = b"".join(lines)
    counts = dict(before.counts)
    for entry in _switches(text.splitlines()):
        counts[entry["event"]] += 1
    return SwitchCounts(identity, offset + len(text), counts)


def _identity(path: Path) -> str:
    """Return a digest of a journal's first line, by which a copy is known too; empty if there is none."""
    try:
        with path.open("rb") as stream:
            first = stream.readline()
    except FileNotFoundError:
        return ""
    return hashlib.sha256(first).hexdigest()[:16] if first.endswith(b"\n") else ""


def _switches(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a power cut tore it
        if isinstance(entry, dict) and entry.get("event") in RESULTS:
            yield entry


def _tail(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(size - _TAIL_BYTES, 0))
            return stream.read().splitlines()
    except FileNotFoundError:
        return []


def _load(path: Path) -> SwitchCounts | None:
    try:
        document = json.loads(path.read_bytes())
        counts = {result: int(document["counts"].get(result, 0)) for result in RESULTS}
        return SwitchCounts(str(document["journal"]), int(document["offset"]), counts)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log(f"{path} is damaged: {error}; switches are counted anew, from what the journal still has")
        return None
