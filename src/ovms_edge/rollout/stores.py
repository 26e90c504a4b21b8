"""A store as a rollout sees it: what the inventory says of it that decides when its turn is."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_TIMEZONE = "UTC"


@dataclass(frozen=True, slots=True)
class Store:
    """``timezone`` is an IANA name (Europe/Berlin); ``region`` and ``hardware`` are the fleet's words."""

    name: str
    region: str = ""
    timezone: str = DEFAULT_TIMEZONE
    hardware: str = ""
    tags: tuple[str, ...] = ()
