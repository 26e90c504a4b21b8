"""What the tool says: one JSON document or a short text on standard output, log lines on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

# Priorities of syslog(3).
_FAILURE = 3
_INFORMATION = 6

# Takes a line and its priority, and returns whether the line got there.
Journal = Callable[[str, int], bool]

_journals: list[tuple[Journal, bool]] = []


def utc_now() -> str:
    """Return the time as RFC 3339 in UTC, whole seconds."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def also_logged(journal: Journal, instead: bool) -> Iterator[None]:
    """Give ``journal`` each log line meanwhile; ``instead``: standard error goes to the same place."""
    _journals.append((journal, instead))
    try:
        yield
    finally:
        _journals.pop()


def log(message: str, *, failure: bool = False) -> None:
    """Write one log line, ``failure``: why the call fails.

    A reader that went away (an SSH connection cut) must not end the work.
    """
    said = False
    for journal, instead in _journals:
        said |= journal(message, _FAILURE if failure else _INFORMATION) and instead
    if said:
        return
    try:
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
    except OSError:
        pass


def emit(document: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Write the result: ``document`` as JSON, or ``text`` for a person."""
    try:
        sys.stdout.write(json.dumps(document) if as_json else text)
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        log("nobody reads the result any more; ovms-node status shows it")


def table(rows: Iterable[tuple[str, object]]) -> str:
    """Return two aligned columns; rows whose value is None are left out."""
    kept = [(label, str(value)) for label, value in rows if value is not None]
    width = max((len(label) for label, _ in kept), default=0)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in kept)


def size_text(size: float) -> str:
    """Return a size in bytes with a unit that suits it."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
