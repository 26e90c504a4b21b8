"""Words of a status document as people read them."""

from __future__ import annotations

from ovms_edge.rollout.amounts import duration_text

_MINUTE = 60.0


def state_text(state: str) -> str:
    """Return a state's name: ``rolling back``."""
    return state.replace("_", " ")


def seconds_text(seconds: float) -> str:
    """Return how long a step took: ``9.9 s``, above a minute as ``duration_text`` does."""
    return f"{seconds:.1f} s" if seconds < _MINUTE else duration_text(seconds)


def many(number: int, what: str) -> str:
    """Return ``1 store``, ``5,000 stores``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def first_of(names: list[str], limit: int) -> str:
    """Return some names, and how many more there are."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def one_line(text: str) -> str:
    """Return text that a terminal takes as text: control characters and line breaks become ``?``."""
    return "".join(char if char.isprintable() else "?" for char in text)
