"""The steps of a switch, by name: when each was reached, and where tests stop it."""

from __future__ import annotations

import os
import signal
import time
from enum import Enum

from ovms_edge.node.output import log

# Tests set it to a step's name: the process stops itself there (SIGSTOP), and something is killed meanwhile.
STOP_AT = "OVMS_NODE_STOP_AT"


class Step(Enum):
    """One durable step. Between any two, whatever dies, the next call finds its way."""

    BEGUN = "begun"
    CREATED = "created"
    HELD = "held"
    DRAINED = "drained"
    STOPPED = "stopped"
    STARTED = "started"
    GATED = "gated"
    COMMITTED = "committed"
    ROUTED = "routed"
    REMOVED = "removed"
    FAILED = "failed"
    CANDIDATE_REMOVED = "candidate-removed"
    OLD_STARTED = "old-started"
    OLD_GATED = "old-gated"
    BACK_ROUTED = "back-routed"


class Steps:
    """``seconds`` holds, by step, the time from the first one to it."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self.seconds: dict[str, float] = {}

    def reached(self, step: Step) -> None:
        """Say that ``step`` is done."""
        now = time.monotonic()
        self._begun = now if self._begun is None else self._begun
        self.seconds[step.value] = round(now - self._begun, 3)
        log(f"{step.value} at {self.seconds[step.value]:.1f} s")
        if os.environ.get(STOP_AT) == step.value:
            os.kill(os.getpid(), signal.SIGSTOP)
