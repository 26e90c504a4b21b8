"""What findings of several subjects have in common."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from datetime import datetime, timezone

from ovms_edge.node.doctor.evidence import Evidence
from ovms_edge.node.doctor.findings import Unknown

SITE = "site.yml"
PREPARE = "playbooks/prepare_hosts.yml"
TEND = "systemctl start ovms-edge-tend.service"
DAY_SECONDS = 24 * 3600.0
_SHOWN = 3


def playbook(path: str) -> str:
    """Return the call of a playbook for this store, on the controller. Its name there: the host's own."""
    return f"ansible-playbook {path} -l {platform.node()}"


def activate(evidence: Evidence) -> str:
    """Return the command that renders and repairs what is active."""
    active = evidence.active
    return f"ovms-node activate {active.release}" if active else "ovms-node activate NAME@VERSION"


def fetch_again(evidence: Evidence) -> str:
    """Return the command that reads every byte of the active release and fetches what is damaged."""
    active = evidence.active
    release = active.release if active else "NAME@VERSION"
    return f"ovms-node stage {release} --verify && ovms-node activate {release}"


def some(names: Iterable[str]) -> str:
    """Return the first few names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more


def seconds_of(rfc3339: str) -> float | None:
    """Return a time in UTC (Docker's, or ours) as seconds since 1970; None if it is none."""
    try:
        moment = datetime.strptime(rfc3339[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return moment.timestamp()


def switching(evidence: Evidence) -> Unknown | None:
    """Return why what serves cannot be judged now: it is just being changed."""
    if evidence.switching:
        return Unknown(f"ovms-node {evidence.switching} is at it")
    return None
