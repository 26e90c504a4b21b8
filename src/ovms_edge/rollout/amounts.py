"""Numbers as a rollout's author writes them: stores as a number or a percent, durations with a unit. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from ovms_edge.errors import UsageError

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(%?)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of stores, or a ``percent`` of some."""

    value: int | Fraction
    percent: bool = False

    def of(self, total: int) -> int:
        """Return the number of stores that is meant of ``total``, a percent rounded down."""
        return int(self.value * total // 100) if self.percent else int(self.value)

    def up(self, total: int) -> int:
        """Return the number of stores that is meant of ``total``, a percent rounded up."""
        return int(-(-self.value * total // 100)) if self.percent else int(self.value)


@dataclass(frozen=True, slots=True)
class Budget:
    """How many stores may fail, and be late, before the rollout stops."""

    failed: Amount
    late: Amount


def parse_amount(text: str, what: str) -> Amount:
    """Return the amount of ``3`` or ``2.5%``; raises UsageError naming ``what``."""
    match = _AMOUNT.fullmatch(text)
    value = Fraction(match[1]) if match else Fraction(-1)
    percent = bool(match and match[2])
    if value < 0 or (percent and value > 100) or (not percent and value.denominator != 1):
        raise UsageError(f"{what} is {text!r}", "write a number of stores, or a percent such as 2%")
    return Amount(value if percent else int(value), percent)


def parse_percent(text: str, what: str) -> Amount:
    """Return the amount of ``5`` (or ``5%``), a percent above 0; raises UsageError naming ``what``."""
    match = _AMOUNT.fullmatch(text)
    value = Fraction(match[1]) if match else Fraction(0)
    if not 0 < value <= 100:
        raise UsageError(f"{what} is {text!r}", "write a number above 0 and up to 100")
    return Amount(value, percent=True)


def parse_duration(text: str, what: str) -> float:
    """Return the seconds of ``30m``; raises UsageError naming ``what``."""
    match = _DURATION.fullmatch(text)
    if text != "0" and not match:
        raise UsageError(f"{what} is {text!r}", "write a number and s, m, h or d, such as 30m")
    return float(match[1]) * _SECONDS[match[2]] if match else 0.0


def duration_text(seconds: float) -> str:
    """Return a duration in its two largest units: ``2 d 6 h``, ``1 h 30 m``, ``45 s``."""
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for unit, size in _SECONDS.items():
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count) or "0 s"
