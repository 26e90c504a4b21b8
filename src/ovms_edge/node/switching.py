"""What to do about the containers that are there. No I/O: decisions only.

The old container keeps its slot and the new one is made in the other, so that the slots, their labels and
``state.json`` together say how far an interrupted switch had come. Only a spec that ``state.json`` calls
active has passed the gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.container import RELEASE_LABEL, RESTART_POLICY, SPEC_LABEL
from ovms_edge.node.slots import SLOTS, Slot, other_slot
from ovms_edge.node.state import Deployment, State
from ovms_edge.ovms.memory import Tier


@dataclass(frozen=True)
class Seen:
    """One of our containers as Docker shows it."""

    spec: str
    release: str
    status: str
    vouched: bool = False  # starts with the host

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
            f"remove or rename it (docker rm -f {name})",
        )
    vouched = inspected["HostConfig"]["RestartPolicy"]["Name"] == RESTART_POLICY
    return Seen(labels[SPEC_LABEL], labels.get(RELEASE_LABEL, ""), inspected["State"]["Status"], vouched)


@dataclass(frozen=True)
class Found:
    """The containers by slot, and where the gateway sends requests."""

    containers: Mapping[Slot, Seen | None]
    route: str

    def serving_slot(self, state: State) -> Slot | None:
        """Return the slot of the container that is to be replaced, or kept; None if there is none.

        That is the active one. Where ``state.json`` was lost, it is the one that requests go to, else one
        that runs.
        """
        active = state.active
        if active and self.holds(active):
            return active.slot
        candidate = state.pending.slot if state.pending else None
        there = [slot for slot in SLOTS if self.containers[slot] and slot != candidate]
        routed = [slot for slot in there if slot == self.route]
        running = [slot for slot in there if (seen := self.containers[slot]) and seen.running]
        return next(iter((*routed, *running, *there)), None)

    def holds(self, active: Deployment) -> bool:
        """Whether the container of ``active`` is in its slot."""
        there = self.containers[active.slot]
        return there is not None and there.spec == active.spec


class SettleStep(Enum):
    """One step that settles an interrupted switch."""

    REMOVE_CANDIDATE = "remove the container that never passed the gate"
    SERVE_ACTIVE = "serve what is active"
    RETIRE = "remove the container that was replaced"


def settle_steps(state: State, found: Found) -> tuple[SettleStep, ...]:
    """Return what ends an interrupted switch, and brings back what is active where it is not served.

    A candidate goes first: in tier B there is no memory for both. What was replaced goes last if it may
    still be answering.
    """
    active = state.active
    if active is None or not found.holds(active):
        pending = state.pending
        left = pending and found.containers[pending.slot]
        return (SettleStep.REMOVE_CANDIDATE,) if pending and left and left.spec == pending.spec else ()
    there = found.containers[active.slot]
    serves = there is not None and there.running and there.vouched and found.route == active.slot
    serve = () if serves else (SettleStep.SERVE_ACTIVE,)
    other = other_slot(active.slot)
    if found.containers[other] is None:
        return serve
    if state.pending:
        return (SettleStep.REMOVE_CANDIDATE, *serve)
    return (*serve, SettleStep.RETIRE) if found.route == other else (SettleStep.RETIRE, *serve)


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


def choose_tier(
    planned: Tier, wanted: Tier | None, need_bytes: int, available_bytes: int, serves: bool
) -> Tier:
    """Return the tier of one switch: A only where the new model fits beside all that runs now.

    ``planned`` is by the memory that the host has, ``available_bytes`` what it has left at this moment;
    ``wanted`` is the operator's word. Where nothing ``serves`` there is nothing to keep serving meanwhile.
    """
    if not serves:
        return "B"
    if wanted:
        return wanted
    return "A" if planned == "A" and need_bytes <= available_bytes else "B"
