"""How far a rollout and its waves are. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from ovms_edge.rollout.states import RolloutState, WaveState

BEGUN = frozenset({WaveState.RUNNING, WaveState.SOAKING, WaveState.DONE})


@dataclass(slots=True)
class WaveCourse:
    """``began``, ``soak_began``, ``ended``: on the rollout's clock, None if not yet.

    ``forgiven``: failures in it that count no more. ``approved``: who said so and when. ``checked``: after
    its soak its stores were asked once more, or are being asked.
    """

    state: WaveState = WaveState.WAITING
    began: float | None = None
    soak_began: float | None = None
    ended: float | None = None
    forgiven: int = 0
    approved: str | None = None
    checked: bool = False


@dataclass(slots=True)
class Course:
    """``clock``: seconds during which an engine watched this rollout, over all engines that did.

    ``back_began``: when on it a rollback of the whole began, None if none did.
    """

    waves: list[WaveCourse]
    state: RolloutState = RolloutState.RUNNING
    reason: str | None = None
    clock: float = 0.0
    forgiven: int = 0
    back_began: float | None = None

    def began(self, number: int) -> float | None:
        """Return when a wave began, None if it has not."""
        return self.waves[number].began

    @property
    def current(self) -> int | None:
        """The first wave that is not done; None if all are."""
        return next(
            (number for number, wave in enumerate(self.waves) if wave.state is not WaveState.DONE), None
        )

    @property
    def ended(self) -> float | None:
        """When the last wave was done, None while there is one to do."""
        return self.waves[-1].ended
