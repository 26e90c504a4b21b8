"""What the gate holds a container against, and what it saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ovms_edge.golden import Times
from ovms_edge.manifest import Manifest
from ovms_edge.node.settings import ServerSettings
from ovms_edge.ovms.client import OvmsClient, OvmsRefusedError, OvmsUnreachableError

_REST_TIMEOUT_SECONDS = 5.0
_QUICK_SECONDS = 2.0


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    id: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Answered:
    """How long a question took, the slowest time where it was asked more than once."""

    id: str
    key: str
    times: Times


@dataclass(frozen=True)
class Target:
    """What the gate holds the container against.

    ``container`` is its name, ``url`` OVMS itself, past the gateway. ``spec`` is that of the container
    (``DesiredServer.spec``): the release it vouches for, and no other.
    ``known_devices`` are those that OVMS logged at ``known_start``, if an earlier gate saw them. ``tier`` is
    the memory plan's, None if the activation was one of an ovms-node that did not record it. ``last_good`` is
    how long the questions of this node's last good gate took, by ``question_key``.
    """

    settings: ServerSettings
    manifest: Manifest
    release_directory: Path
    cache_size_gib: int
    spec: str
    container: str
    url: str
    known_devices: tuple[str, ...] = ()
    known_start: str = ""
    tier: str | None = None
    last_good: Mapping[str, Times] = field(default_factory=dict)

    @property
    def client(self) -> OvmsClient:
        """OVMS as this host reaches it."""
        return OvmsClient(self.url, _REST_TIMEOUT_SECONDS)


@dataclass
class GateReport:
    """What the gate saw. Times in seconds; ``failure`` is reason and remedy, None if all is well.

    ``load_failed``: OVMS gave the load up, and does not try again. ``blames_release`` is False where the
    failure says nothing of what was gated.
    """

    target: Target
    state: str | None = None
    warm_up_seconds: float | None = None
    answers: list[Answered] = field(default_factory=list)
    restarts: int | None = None
    devices: tuple[str, ...] = ()
    container_started: str = ""
    checks: list[Check] = field(default_factory=list)
    failure: tuple[str, str] | None = None
    load_failed: bool = False
    blames_release: bool = True

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return self.failure is None

    @property
    def times(self) -> dict[str, Times]:
        """How long each question took, by its key."""
        return {answered.key: answered.times for answered in self.answers}

    @property
    def first(self) -> Times | None:
        """How long the first question took; None if it was not answered."""
        return self.answers[0].times if self.answers else None

    @property
    def reason(self) -> str:
        """Why it did not pass; empty if it did."""
        return self.failure[0] if self.failure else ""

    @property
    def document(self) -> dict[str, Any]:
        """The document of ``verify``."""
        reason = {"reason": self.failure[0], "remedy": self.failure[1]} if self.failure else {}
        return {
            "ok": self.ok,
            "release": str(self.target.manifest.ref),
            "servable": self.target.settings.servable,
            "state": self.state,
            "device": self.target.settings.device,
            "cache_size": self.target.cache_size_gib,
            "tier": self.target.tier,
            "warm_up_seconds": self.warm_up_seconds,
            "first_token_seconds": self.first.first_token_seconds if self.first else None,
            "total_seconds": self.first.total_seconds if self.first else None,
            "answers": [{"id": answered.id, **asdict(answered.times)} for answered in self.answers],
            "restarts": self.restarts,
            "image": self.target.settings.image,
            "checks": [asdict(check) for check in self.checks],
            **reason,
        }


def is_available(url: str, servable: str) -> bool:
    """Return whether OVMS says AVAILABLE of the servable now; False also where nothing answers."""
    try:
        entry = OvmsClient(url, _QUICK_SECONDS).servables().get(servable)
    except (OvmsUnreachableError, OvmsRefusedError):
        return False
    return entry is not None and entry.available
