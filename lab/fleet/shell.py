"""Calls of other programs; what they print goes to a log, and into the error when they fail."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError


def ensure_stdin() -> None:
    """Give a process whose caller closed its standard input an empty one, which its children inherit."""
    if sys.stdin is None:
        null = os.open(os.devnull, os.O_RDONLY)
        if null == 0:
            os.set_inheritable(null, True)
        else:
            os.dup2(null, 0)
            os.close(null)
        sys.stdin = os.fdopen(0)


def run(
    argv: Sequence[str | Path],
    *,
    remedy: str = "",
    stdin: str | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> str:
    """Standard output of ``argv``; raises EdgeError if it fails. With ``log``, all output goes there."""
    words = [str(word) for word in argv]
    done: subprocess.CompletedProcess[str]
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    try:
        if log is None:
            done = subprocess.run(
                words, **given, cwd=cwd, env=environment, capture_output=True, text=True, check=False
            )
            output, said = done.stdout, done.stderr or done.stdout
        else:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a") as file:
                done = subprocess.run(
                    words,
                    **given,
                    cwd=cwd,
                    env=environment,
                    stdout=file,
                    stderr=file,
                    text=True,
                    check=False,
                )
            output, said = "", tail(log, 5)
            remedy = remedy or f"see {log}"
    except FileNotFoundError as error:
        raise EdgeError(f"{words[0]} is not installed", "run lab/lab prepare") from error
    if done.returncode:
        last = "\n".join(said.strip().splitlines()[-5:]) or "no output"
        raise EdgeError(
            f"{shlex.join(words[:4])} failed with status {done.returncode}: {last}",
            remedy or "mend the cause and run it again",
        )
    return output


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Whether ``argv`` exits with 0; a program that is not installed does not."""
    try:
        words = [str(word) for word in argv]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def tail(path: Path, lines: int) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def wait_until(ready: Callable[[], bool], seconds: float, failure: Callable[[], EdgeError]) -> None:
    """Ask ``ready`` until it says yes; raises what ``failure`` makes after ``seconds``."""
    deadline = time.monotonic() + seconds
    pause = 0.05
    while not ready():
        if time.monotonic() > deadline:
            raise failure()
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)
