"""Slots: the two places, by fixed address, of which the gateway asks one."""

from __future__ import annotations

from typing import Literal

Slot = Literal["a", "b"]

SLOTS: tuple[Slot, Slot] = ("a", "b")


def other_slot(slot: Slot) -> Slot:
    """Return the slot that ``slot`` is not."""
    return "b" if slot == "a" else "a"


def container_name(slot: Slot) -> str:
    """Return the name of the container in ``slot``."""
    return f"ovms-vlm-{slot}"
