"""Progress on standard error: a moving line on a terminal, a line a file with --verbose, else nothing."""

from __future__ import annotations

import sys
import time
from typing import TextIO

REDRAW_SECONDS = 0.2
MIB = 1 << 20
_ERASE_LINE = "\r\x1b[K"


class Progress:
    """What a long operation tells while it runs: one file at a time."""

    def __init__(
        self, verb: str, total_bytes: int, verbose: bool = False, stream: TextIO | None = None
    ) -> None:
        """``verb`` is what happens to each file, such as ``hash``; ``total_bytes`` over all files."""
        self._verb = verb
        self._total = total_bytes
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._verbose = verbose
        self._path = ""
        self._done = 0
        self._begun = time.monotonic()
        self._drawn = 0.0

    def start(self, path: str) -> None:
        """Go on to the file at ``path``."""
        self._path = path
        self._draw()

    def advance(self, count: int) -> None:
        """Count ``count`` bytes more (fewer, if negative: a transfer starts again)."""
        self._done += count
        if time.monotonic() - self._drawn >= REDRAW_SECONDS:
            self._draw()

    def finish(self, note: str) -> None:
        """Tick the file off; ``note`` says how it went, such as ``exists``."""
        if self._verbose:
            self._erase()
            self._stream.write(f"{self._verb} {self._path}: {note}\n")

    def close(self) -> None:
        """Leave the terminal's line empty."""
        self._erase()

    def _erase(self) -> None:
        if self._terminal:
            self._stream.write(_ERASE_LINE)
            self._stream.flush()

    def _draw(self) -> None:
        if not self._terminal:
            return
        self._drawn = time.monotonic()
        share = self._done / self._total if self._total else 1.0
        speed = self._done / MIB / max(self._drawn - self._begun, 0.001)
        self._stream.write(f"{_ERASE_LINE}{self._verb} {share:4.0%} {speed:6.0f} MiB/s {self._path}")
        self._stream.flush()
