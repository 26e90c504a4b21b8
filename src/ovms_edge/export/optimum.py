"""optimum-intel, the tool that converts a model to OpenVINO, run as a child process."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.export.progress import Progress
from ovms_edge.export.requirements import missing_packages, package_versions

PACKAGES = ("nncf", "openvino", "openvino-tokenizers", "optimum-intel", "torch", "transformers")
_WORDS = ("export", "openvino")
_POLL_SECONDS = 0.2
_TAIL_LINES = 20
_TAIL_BYTES = 16384
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours and cursor movements of its progress bars
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)  # loaded before any fork


@dataclass(frozen=True)
class Converter:
    """``cli`` is the program, ``tools`` the versions (package: version) that decide what comes out."""

    cli: Path
    tools: dict[str, str]


@dataclass(frozen=True)
class Conversion:
    """One run: the model ``name`` in the directory ``source`` to ``output``; ``offline``: ask no hub."""

    name: str
    source: Path
    arguments: Sequence[str]
    output: Path
    offline: bool


def find_converter() -> Converter:
    """Return the optimum-cli beside this Python. Raises EdgeError naming the packages that are missing."""
    cli = Path(sys.executable).parent / "optimum-cli"
    tools = package_versions(PACKAGES)
    if not cli.is_file():
        raise missing_packages(cli.name)
    return Converter(cli, tools)


def convert(
    converter: Converter,
    conversion: Conversion,
    workspace: Path,
    lock_descriptor: int,
    progress: Progress,
) -> None:
    """Run ``optimum-cli export openvino`` and wait for it; its log is ``optimum.log`` in ``workspace``.

    The child dies with this process, and holds ``lock_descriptor`` as long as it lives, so nothing writes to
    the output that the next run would not know of. Raises EdgeError with the end of the log if it fails.
    """
    # Its notes in the model (openvino_config.json) name the source as it was given: by name, not by a path of
    # this machine. That name is also how optimum-intel finds the settings that suit a model.
    sources = workspace / "from"
    link = sources / conversion.name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(conversion.source)
    log_path = workspace / "optimum.log"
    output = str(conversion.output.absolute())
    with log_path.open("wb") as log:
        child = subprocess.Popen(
            [str(converter.cli), *_WORDS, "--model", conversion.name, *conversion.arguments, output],
            cwd=sources,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(workspace, conversion.offline),
            pass_fds=(lock_descriptor,),
            preexec_fn=_die_with_parent,
        )
        try:
            _wait(child, log_path, conversion.name, progress)
        finally:
            child.kill()
            child.wait()
    if child.returncode:
        raise _failure(child.returncode, log_path)


def peak_memory_of_converter() -> int:
    """Return the largest resident size (bytes) of any child that has ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _environment(workspace: Path, offline: bool) -> dict[str, str]:
    """Return what the converter is told.

    It writes an uncompressed model first, as a temporary file: into the workspace, where there is room and
    where the next run finds it after a kill. openvino-telemetry neither asks nor sends in CI
    (openvino_telemetry 2025.2, utils/opt_in_checker.py); nobody could answer it here.
    """
    temporary = (workspace / "tmp").absolute()
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "CI": "true", "TMPDIR": str(temporary)}
    if offline:
        environment["HF_HUB_OFFLINE"] = "1"
    return environment


def _wait(child: subprocess.Popen[bytes], log_path: Path, name: str, progress: Progress) -> None:
    while child.poll() is None:
        time.sleep(_POLL_SECONDS)
        progress.status(f"converting {name}: {' '.join(_tail(log_path, lines=1))}")


def _failure(returncode: int, log_path: Path) -> EdgeError:
    log = "\n  ".join(_tail(log_path, _TAIL_LINES))
    if returncode == -signal.SIGKILL:
        return EdgeError(
            f"optimum-cli was killed, most likely because memory ran out; its last lines:\n  {log}\n",
            "export on a host with more memory or add swap; --dry-run says how much it takes",
        )
    return EdgeError(
        f"optimum-cli failed with status {returncode}; its last lines:\n  {log}\n",
        "mend what they name; versions that work together are in export_requirements.txt",
    )


def _tail(path: Path, lines: int) -> list[str]:
    """Return the last lines as a terminal shows them: carriage returns let progress bars overwrite."""
    text = path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
    shown = [_CONTROL.sub("", line.rstrip().rsplit("\r", 1)[-1]) for line in text.splitlines(keepends=False)]
    return [line for line in shown if line.strip()][-lines:]


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
