"""What a way of switching cost those who asked meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.e2e.load import Interval, Report

# A switch is over for the caller before the last request that waited is answered.
_SETTLE_SECONDS = 0.5


@dataclass(frozen=True)
class Switch:
    """One switch: when it was asked for and done, and its steps (seconds from its beginning)."""

    interval: Interval
    steps: dict[str, float]

    @property
    def held(self) -> bool:
        return "held" in self.steps

    @property
    def own_seconds(self) -> float:
        """Return what the servers themselves took: the drain of the old; start, load and gate of the new."""
        steps = self.steps
        return steps["drained"] - steps["held"] + steps["gated"] - steps["stopped"]

    @property
    def flip(self) -> Interval:
        """Return the part in which requests go over to the new server."""
        end = self.interval.end
        return Interval(end - (self.steps["removed"] - self.steps["gated"]) - _SETTLE_SECONDS, end)


@dataclass(frozen=True)
class Row:
    """Times in milliseconds. ``own`` and ``beyond``: of the switch that held longest beyond its own time."""

    way: str
    switches: int
    failed: int
    truncated: int
    requests: int
    quiet_p50: float
    quiet_p99: float
    during_p50: float
    during_p99: float
    longest: float
    own: float | None = None
    beyond: float | None = None

    @property
    def added_p99(self) -> float:
        return self.during_p99 - self.quiet_p99

    @property
    def document(self) -> dict[str, Any]:
        return {**asdict(self), "added_p99": self.added_p99}


def row(way: str, report: Report, quiet: Report, switches: Sequence[Switch]) -> Row:
    """Return the figures of ``switches`` beside those of the same load without any."""
    return _row(way, report, quiet, [switch.interval for switch in switches], _holds(report, switches))


def flip_row(way: str, report: Report, quiet: Report, switches: Sequence[Switch]) -> Row:
    return _row(way, report, quiet, [switch.flip for switch in switches], None)


def _row(
    way: str,
    report: Report,
    quiet: Report,
    intervals: Sequence[Interval],
    hold: tuple[float, float] | None,
) -> Row:
    during = report.during(intervals)
    own, beyond = (1000 * hold[0], 1000 * hold[1]) if hold else (None, None)
    return Row(
        way=way,
        switches=len(intervals),
        failed=len(during.failed),
        truncated=len(during.truncated),
        requests=during.count,
        quiet_p50=1000 * quiet.percentile(50),
        quiet_p99=1000 * quiet.percentile(99),
        during_p50=1000 * during.percentile(50),
        during_p99=1000 * during.percentile(99),
        longest=1000 * during.longest,
        own=own,
        beyond=beyond,
    )


def _holds(report: Report, switches: Sequence[Switch]) -> tuple[float, float] | None:
    """Return the servers' own time and what the slowest request took beyond it, where that was the most."""
    holds = [
        (switch.own_seconds, report.during([switch.interval]).longest - switch.own_seconds)
        for switch in switches
        if switch.held
    ]
    return max(holds, key=lambda hold: hold[1], default=None)


def table(rows: Sequence[Row]) -> list[str]:
    """Return the rows as aligned lines."""
    head = (
        *("way", "switches", "requests", "failed", "truncated", "quiet p50", "p99", "during p50", "p99"),
        *("added p99", "longest", "own", "beyond"),
    )
    cells = [head, *(_cells(one) for one in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _cells(one: Row) -> tuple[str, ...]:
    counts = (one.switches, one.requests, one.failed, one.truncated)
    times = (
        *(one.quiet_p50, one.quiet_p99, one.during_p50, one.during_p99, one.added_p99, one.longest),
        *(one.own, one.beyond),
    )
    return (one.way, *map(str, counts), *("" if time is None else f"{time:.0f}" for time in times))
