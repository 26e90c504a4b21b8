"""A rollout while it goes on: redrawn in place on a terminal, elsewhere a line for each change."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol, TextIO

from ovms_edge.rollout.changes import change_lines, clock, day
from ovms_edge.rollout.overview import lines, summary
from ovms_edge.rollout.words import one_line, state_text

__all__ = ["LiveView", "PlainView", "lines", "live_view", "summary"]

_TERMINATED = 143  # what shells report for SIGTERM
# ECMA-48, and DEC's private modes: 25 the cursor, 7 wrapping of long lines.
_BEGIN, _END = "\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h"
_CLEAR_LINE, _CLEAR_BELOW, _CLEAR_ALL = "\x1b[K", "\x1b[J", "\x1b[2J\x1b[H"


class View(Protocol):
    """What takes each new document."""

    def __call__(self, document: Mapping[str, Any]) -> None:
        """Show the document."""


class PlainView:
    """One line for each change since the last document; of what was before the first, the counts."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._seen: int | None = None
        self._day = ""

    def __call__(self, document: Mapping[str, Any]) -> None:
        """Print what is new."""
        history = document["history"]
        if self._seen is None:
            self._print(_first_line(document))
            self._seen, self._day = len(history), document["updated"][:10]
        events, self._seen = history[self._seen :], len(history)
        for event, text in zip(events, change_lines(document, events), strict=True):
            if day(event) > self._day:
                self._day = day(event)
                self._print(f"{self._day} UTC")
            self._print(text)
        self._stream.flush()

    def _print(self, text: str) -> None:
        self._stream.write(f"{_encodable(text, self._stream)}\n")


class LiveView:
    """The lines of the newest document over those of the last one.

    A frame is one write that hides the cursor at its beginning and shows it again at its end, so that nothing
    has to be restored whenever the program is stopped.
    """

    def __init__(self, stream: TextIO, colour: bool) -> None:
        self._stream, self._colour = stream, colour
        self._shown: list[str] = []
        self._size = os.terminal_size((0, 0))

    def __call__(self, document: Mapping[str, Any]) -> None:
        """Draw the document."""
        size = shutil.get_terminal_size()
        # Clearing the rest of a line that is full would take its last character.
        frame = lines(document, size.columns - 1, self._colour, size.lines - 1)
        if size == self._size and frame == self._shown:
            return
        resized = bool(self._shown) and size != self._size
        start = _CLEAR_ALL if resized else f"\x1b[{len(self._shown)}A\r" if self._shown else ""
        text = "".join(f"{each}{_CLEAR_LINE}\n" for each in frame)
        self._stream.write(_encodable(f"{_BEGIN}{start}{text}{_CLEAR_BELOW}{_END}", self._stream))
        self._stream.flush()
        self._shown, self._size = frame, size


@contextmanager
def live_view(stream: TextIO | None = None) -> Iterator[View]:
    """Yield what shows each new document on ``stream``, default standard output.

    In place on a terminal; colours only there, and not with NO_COLOR (https://no-color.org) set. SIGTERM ends
    the program as an exception does meanwhile, so that files are closed.
    """
    stream = stream or sys.stdout
    terminal = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    view = LiveView(stream, not os.environ.get("NO_COLOR")) if terminal else PlainView(stream)
    with _ended_by_exception():
        yield view


@contextmanager
def _ended_by_exception() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _first_line(document: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {state_text(state)}" for state, count in document["counts"].items())
    return one_line(
        f"{clock(document['updated'])} {document['id']} {state_text(document['state'])}: {counts}"
        f" ({document['updated'][:10]}, times are UTC)"
    )


def _encodable(text: str, stream: TextIO) -> str:
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
