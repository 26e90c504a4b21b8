"""What OVMS says it sees, also in a log that a power failure damaged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from ovms_edge.node.devices import logged_devices
from ovms_edge.node.docker import Docker

STARTED = "2026-11-28T12:35:00.157150946Z"
SAID = "[INFO] Available devices for Open VINO: CPU, GPU"
ERROR = "Error grabbing logs: invalid character '\\x00' looking for beginning of value"


class Log:
    """A log of the lines of this run and, with ``damaged``, zeros before them.

    As engines 20.10 (it ends there without a word) and 26.1 (``error``) read it.
    """

    def __init__(self, lines: list[str], damaged: bool, error: bool) -> None:
        self.lines, self.damaged, self.error = lines, damaged, error
        self.reads = 0

    def log_lines(self, name: str, since: str = "0", tail: str = "all") -> Iterator[str]:
        assert since == "1795869300.157150946"
        self.reads += 1
        if not self.damaged or (tail != "all" and int(tail) <= len(self.lines)):
            yield from self.lines if tail == "all" else self.lines[-int(tail) :]
        elif self.error:
            yield ERROR

    def devices(self) -> tuple[str, ...]:
        return logged_devices(cast(Docker, self), "ovms-vlm-a", STARTED)


def log(after: int, damaged: bool = False, error: bool = False, said: str = SAID) -> Log:
    return Log(["starting", said, *(f"line {number}" for number in range(after))], damaged, error)


@pytest.mark.parametrize("damage", [{}, {"damaged": True}, {"damaged": True, "error": True}], ids=str)
@pytest.mark.parametrize("after", [0, 1, 2, 5, 6, 7, 97, 1000, 4000])
def test_the_devices_are_found_however_much_was_logged_since(after: int, damage: dict[str, Any]) -> None:
    known = log(after, **damage)
    assert known.devices() == ("CPU", "GPU")
    assert known.reads <= 30


@pytest.mark.parametrize("damaged", [False, True])
def test_a_log_without_them_has_none(damaged: bool) -> None:
    assert log(10, damaged, said="rotated away").devices() == ()


def test_a_sound_log_is_read_once() -> None:
    for known in (log(10), log(10, said="rotated away")):
        known.devices()
        assert known.reads == 1


def test_an_empty_log_has_none() -> None:
    assert Log([], damaged=True, error=False).devices() == ()
