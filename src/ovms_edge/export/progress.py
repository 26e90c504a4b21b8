"""What an export tells whoever waits for it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

REPORT_SECONDS = 30.0  # between lines about the same stage, where there is no terminal
_TERMINAL_SECONDS = 0.5
_WIDTH = 110


@dataclass
class Progress:
    """Lines on standard error, each with the seconds since the start."""

    started: float = field(default_factory=time.monotonic)
    terminal: bool = field(default_factory=sys.stderr.isatty)
    _next_status: float = 0.0
    _status_shown: bool = False

    def say(self, text: str) -> None:
        """Show one line that stays."""
        self._erase_status()
        print(self._line(text), file=sys.stderr, flush=True)
        self._next_status = time.monotonic() + REPORT_SECONDS

    def status(self, text: str) -> None:
        """Show where a long stage stands: a terminal's last line, rewritten; else a line now and then."""
        now = time.monotonic()
        if self.terminal and (not self._status_shown or now >= self._next_status):
            print(f"\r\x1b[K{self._line(text)[:_WIDTH]}", end="", file=sys.stderr, flush=True)
            self._status_shown = True
            self._next_status = now + _TERMINAL_SECONDS
        elif not self.terminal and now >= self._next_status:
            self.say(text)

    def _line(self, text: str) -> str:
        return f"[{time.monotonic() - self.started:7.1f} s] {text}"

    def end(self) -> None:
        """Leave the terminal's line free for others."""
        self._erase_status()

    def _erase_status(self) -> None:
        if self._status_shown:
            print("\r\x1b[K", end="", file=sys.stderr)
            self._status_shown = False
