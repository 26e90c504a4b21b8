"""What to do about the containers that are there. No I/O: decisions only.

During a switch the old container is set aside under another name, so that names, labels and ``state.json``
together say how far an interrupted switch had come. Only a spec that ``state.json`` calls active has passed
the gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.container import RELEASE_LABEL, SPEC_LABEL
from ovms_edge.node.state import State


def aside_name(container: str) -> str:
    """Return the name under which the old container waits for the gate's verdict on the new one."""
    return f"{container}-previous"


@dataclass(frozen=True)
class Seen:
    """One of our containers as Docker shows it."""

    spec: str
    release: str
    status: str
    ports: tuple[int, ...] = ()  # of the host

    @property
    def running(self) -> bool:
        """Whether its process runs now."""
        return self.status == "running"


def seen(inspected: Mapping[str, Any] | None, name: str) -> Seen | None:
    """Read ``docker inspect``; raises EdgeError for a container that is not ours."""
    if inspected is None:
        return None
    labels = inspected["Config"].get("Labels") or {}
    if SPEC_LABEL not in labels:
        raise EdgeError(
            f"a container {name} is there that ovms-node did not make",
            f"remove or rename it (docker rm -f {name}), or set another container name",
        )
    bindings = inspected["HostConfig"].get("PortBindings") or {}
    ports = tuple(int(entry["HostPort"]) for published in bindings.values() for entry in published or ())
    return Seen(labels[SPEC_LABEL], labels.get(RELEASE_LABEL, ""), inspected["State"]["Status"], ports)


class Step(Enum):
    """One step that settles an interrupted switch."""

    REMOVE_CURRENT = "remove the container that never passed the gate"
    REMOVE_ASIDE = "remove the container that was replaced"
    RESTORE_ASIDE = "bring the container back that served before"


def settle_steps(state: State, current: Seen | None, aside: Seen | None) -> tuple[Step, ...]:
    """Return what ends an interrupted switch: in the new container if it was committed, else in the old."""
    gated = current is not None and state.active is not None and current.spec == state.active.spec
    if aside is not None:
        if gated:
            return (Step.REMOVE_ASIDE,)
        return (Step.REMOVE_CURRENT, Step.RESTORE_ASIDE) if current else (Step.RESTORE_ASIDE,)
    if state.pending and current and not gated:
        return (Step.REMOVE_CURRENT,)
    return ()


class Way(Enum):
    """How to get from the settled containers to the desired one."""

    KEEP = "it serves"
    REPAIR = "it is there but does not serve, was never gated, or has files that were damaged"
    SWITCH = "another one has to be made"


def choose_way(
    state: State, current: Seen | None, desired_spec: str, available: bool, whole: bool = True
) -> Way:
    """Return how to get to ``desired_spec``.

    ``available`` is what OVMS says of the servable now, ``whole`` whether it has the release's own files.
    """
    if current is None or current.spec != desired_spec:
        return Way.SWITCH
    gated = state.active is not None and state.active.spec == desired_spec
    return Way.KEEP if gated and current.running and available and whole else Way.REPAIR
