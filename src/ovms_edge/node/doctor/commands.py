"""Programs of the host that only read, each with little time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

# Takes the words of a command; returns its standard output, None if it is not there or does not end in time.
Run = Callable[[Sequence[str]], str | None]

_SECONDS = 2.0


def run(words: Sequence[str]) -> str | None:
    """Run a command whose exit status does not matter."""
    try:
        done = subprocess.run(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            text=True,
            errors="replace",
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout
