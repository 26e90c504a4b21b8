"""What a store can be in a rollout, and a wave, and the rollout itself."""

from __future__ import annotations

from enum import StrEnum


class StoreState(StrEnum):
    """Where a store is on its way. Only FAILED counts as a failure; UNREACHABLE and LATE go on later."""

    PENDING = "pending"  # nothing was begun
    STAGING = "staging"
    STAGED = "staged"
    ACTIVATING = "activating"
    SERVING = "serving"  # the gate said yes to the rollout's release
    FAILED = "failed"  # a gate or a node said no; it serves what it served
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    UNREACHABLE = "unreachable"
    LATE = "late"  # reachable, and not done in time
    UNSUITABLE = "unsuitable"  # known beforehand not to be able to take the release: left alone


class WaveState(StrEnum):
    """``HELD`` waits for an approval."""

    WAITING = "waiting"
    HELD = "held"
    RUNNING = "running"
    SOAKING = "soaking"
    DONE = "done"


class RolloutState(StrEnum):
    """``DONE``: no store is left to move. An ABORTED or ROLLED_BACK one is closed for good."""

    RUNNING = "running"
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    DONE = "done"
