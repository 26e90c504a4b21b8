"""optimum-intel, the tool that converts a model to OpenVINO, run as a child process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ovms_edge.errors import EdgeError

PACKAGES = ("nncf", "openvino", "openvino-tokenizers", "optimum-intel", "torch", "transformers")
PROGRESS_SECONDS = 30.0
_POLL_SECONDS = 0.2
_TAIL_LINES = 20
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)  # loaded before any fork


@dataclass(frozen=True)
class Converter:
    """``cli`` is the program, ``tools`` the versions (package: version) that decide what comes out."""

    cli: Path
    tools: dict[str, str]


def find_converter() -> Converter:
    """Return the optimum-cli beside this Python. Raises EdgeError naming the packages that are missing."""
    cli = Path(sys.executable).parent / "optimum-cli"
    tools: dict[str, str] = {}
    missing: list[str] = []
    for package in PACKAGES:
        try:
            tools[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            missing.append(package)
    if missing or not cli.is_file():
        raise EdgeError(
            f"the export needs packages that {sys.executable} has not: {', '.join(missing) or cli.name}",
            f"run {sys.executable} -m pip install -r export_requirements.txt",
        )
    return Converter(cli, tools)


def convert(
    converter: Converter,
    model: str,
    arguments: Sequence[str],
    output: Path,
    *,
    offline: bool,
    lock_descriptor: int,
    say: Callable[[str], None],
) -> None:
    """Run ``optimum-cli export openvino`` and wait for it; its log is ``optimum.log`` beside ``output``.

    The child dies with this process, and holds ``lock_descriptor`` as long as it lives, so nothing writes to
    ``output`` that the next run would not know of. ``offline`` keeps it from asking the hub. Raises EdgeError
    with the end of the log if it fails.
    """
    log_path = output.parent / "optimum.log"
    command = [str(converter.cli), "export", "openvino", "--model", model, *arguments, str(output)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"} if offline else None
    with log_path.open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=(lock_descriptor,),
            preexec_fn=_die_with_parent,
        )
        try:
            _wait(child, log_path, say)
        finally:
            child.kill()
            child.wait()
    if child.returncode:
        raise _failure(child.returncode, log_path)


def _wait(child: subprocess.Popen[bytes], log_path: Path, say: Callable[[str], None]) -> None:
    next_report = time.monotonic() + PROGRESS_SECONDS
    while child.poll() is None:
        time.sleep(_POLL_SECONDS)
        if time.monotonic() >= next_report:
            next_report += PROGRESS_SECONDS
            say(f"still converting: {' '.join(_tail(log_path, lines=1))}")


def _failure(returncode: int, log_path: Path) -> EdgeError:
    log = "\n  ".join(_tail(log_path, _TAIL_LINES))
    if returncode == -signal.SIGKILL:
        return EdgeError(
            f"optimum-cli was killed, most likely because memory ran out; its last lines:\n  {log}\n",
            "export on a host with more memory (a 7B model takes 36-43 GB at its peak) or add swap",
        )
    return EdgeError(
        f"optimum-cli failed with status {returncode}; its last lines:\n  {log}\n",
        "mend what they name; versions that work together are in export_requirements.txt",
    )


def _tail(path: Path, lines: int) -> list[str]:
    """Return the last lines as a terminal shows them: carriage returns let progress bars overwrite."""
    text = path.read_bytes()[-16384:].decode(errors="replace")
    shown = [line.rstrip().rsplit("\r", 1)[-1] for line in text.splitlines(keepends=False)]
    return [line for line in shown if line][-lines:]


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
