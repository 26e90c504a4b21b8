"""Steps that depend on each other, run side by side where they do not, with visible progress."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError

from .console import Console, duration
from .shell import tail

_TAIL_LINES = 15
_HEARTBEAT_SECONDS = 20.0
_REFRESH_SECONDS = 0.5


@dataclass(frozen=True)
class Step:
    """``work`` is given its log file and returns whether there was anything to do."""

    name: str
    title: str
    after: tuple[str, ...]
    work: Callable[[Path], bool]


class StepFailedError(EdgeError):
    """A step failed; those that ran beside it were let finish."""


class Runner:
    """Runs steps and tells what runs now, what is done and how long it took."""

    def __init__(self, steps: Sequence[Step], logs: Path, console: Console) -> None:
        self.steps = steps
        self.logs = logs
        self.console = console
        self._numbers = {step.name: number for number, step in enumerate(steps, 1)}
        self._started: dict[str, float] = {}
        self._lock = threading.Lock()
        self._live = False

    def run(self) -> None:
        """Run all; raises StepFailedError when no step runs any more and one has failed."""
        self.logs.mkdir(parents=True, exist_ok=True)
        waiting = {step.name: step for step in self.steps}
        finished: set[str] = set()
        running: dict[Future[bool], Step] = {}
        failure: StepFailedError | None = None
        heartbeat = time.monotonic()
        with ThreadPoolExecutor(max_workers=len(self.steps)) as pool:
            while waiting or running:
                for step in [step for step in waiting.values() if finished.issuperset(step.after)]:
                    del waiting[step.name]
                    running[pool.submit(self._begin(step), self.log(step))] = step
                done, _ = wait(running, _REFRESH_SECONDS, FIRST_COMPLETED)
                for future in done:
                    step = running.pop(future)
                    problem = future.exception()
                    if problem is None:
                        finished.add(step.name)
                        self._end(step, future.result())
                    elif isinstance(problem, EdgeError):
                        self._line(
                            step, self.console.paint("failed", "red") + f" after {self._elapsed(step)}"
                        )
                        failure = failure or self._failed(step, problem)
                        waiting.clear()
                    else:
                        raise problem
                if self.console.terminal:
                    self._draw(list(running.values()))
                elif running and time.monotonic() - heartbeat > _HEARTBEAT_SECONDS:
                    heartbeat = time.monotonic()
                    self.console.plain("        " + self._running(list(running.values()), 100))
        if failure is not None:
            raise failure

    def log(self, step: Step) -> Path:
        return self.logs / f"{step.name}.log"

    def _begin(self, step: Step) -> Callable[[Path], bool]:
        self.log(step).unlink(missing_ok=True)
        self._started[step.name] = time.monotonic()
        if not self.console.terminal:
            self._line(step, "...")
        return step.work

    def _end(self, step: Step, worked: bool) -> None:
        self._line(
            step, f"done in {self._elapsed(step)}" if worked else self.console.paint("is up to date", "dim")
        )

    def _elapsed(self, step: Step) -> str:
        return duration(time.monotonic() - self._started[step.name])

    def _line(self, step: Step, text: str) -> None:
        self._erase()
        number = f"[{self._numbers[step.name]:2}/{len(self.steps)}]"
        self.console.plain(f"{self.console.paint(number, 'bold')} {step.title} {text}")

    def _failed(self, step: Step, problem: EdgeError) -> StepFailedError:
        log = self.log(step)
        said = tail(log, _TAIL_LINES).strip() if log.exists() else ""
        if said and said.splitlines()[-1] not in problem.reason:
            self.console.plain("\n".join(f"        | {line}" for line in said.splitlines()))
        return StepFailedError(f"{step.title}: {problem.reason}", problem.remedy)

    def _running(self, steps: list[Step], width: int) -> str:
        parts = [f"{step.title} {self._elapsed(step)}" for step in steps]
        doing = last_line(self.log(steps[-1]))
        text = "now: " + ", ".join(parts) + (f" | {doing}" if doing else "")
        return text if len(text) <= width else text[: width - 3] + "..."

    def _draw(self, steps: list[Step]) -> None:
        """The line at the bottom of a terminal, drawn over itself."""
        if steps:
            self._erase()
            sys.stdout.write(self.console.paint(self._running(steps, 100), "dim"))
            sys.stdout.flush()
            self._live = True

    def _erase(self) -> None:
        if self._live:
            sys.stdout.write("\r\033[K")
            self._live = False


def last_line(log: Path) -> str:
    """The last line with letters in it, without the rows of stars that Ansible draws."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - 2000, 0))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.strip(" *\r") for line in text.splitlines() if any(map(str.isalpha, line))]
    return lines[-1] if lines else ""
