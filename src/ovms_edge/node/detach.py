"""Start ``ovms-node stage`` so that it does not end with the connection that asked for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.lock import exclusive
from ovms_edge.node.options import Document
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.run import VARIABLE as RUN_ID
from ovms_edge.node.transfer_files import read_status

UNIT = "ovms-edge-stage.service"
_DESCRIPTION = "ovms-node stage "
_BEGIN_SECONDS = 15.0
_PASSED = (RUN_ID, "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# What serves comes first: systemd.resource-control(5), weights against 100 of every other unit. They count
# while there is contention, so an idle host stages as fast as it can. IOWeight needs BFQ or io.cost as the
# disk's scheduler; with another, the rate of the link is what keeps the disk free.
_PROPERTIES = ("Nice=10", "CPUWeight=20", "IOWeight=20", "Restart=no")


def start_detached(
    config: NodeConfig, ref: ReleaseRef, arguments: Sequence[str], wait_seconds: float
) -> Document:
    """Run this program with ``arguments`` in a transient unit of systemd; return once its status is its own.

    While one runs for ``ref`` this says so and does nothing; raises EdgeError while one runs for another, and
    while another ``ovms-node`` holds the lock for ``wait_seconds``.
    """
    document: Document = {"ok": True, "changed": False, "release": str(ref), "detached": True, "unit": UNIT}
    if _runs_for(ref):
        return document
    with exclusive(StatePaths(config.state_dir).lock, wait_seconds):
        pass  # only whoever stages writes the status, so it must not have to wait
    command = [
        *("systemd-run", f"--unit={UNIT}", "--collect", "--quiet", f"--description={_DESCRIPTION}{ref}"),
        *(f"--property={entry}" for entry in _PROPERTIES),
        *(f"--setenv={name}" for name in _PASSED if name in os.environ),
        *(sys.executable, str(Path(sys.argv[0]).absolute()), *arguments),
    ]
    before = _transfer(config)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise EdgeError("systemd-run is not there", "stage without --detach") from error
    if done.returncode != 0 and _runs_for(ref):
        return document  # somebody else was quicker
    if done.returncode != 0:
        raise EdgeError(
            f"systemd-run: {done.stderr.strip()}", "see systemctl status, or stage without --detach"
        )
    _await_status(config, before, wait_seconds + _BEGIN_SECONDS)  # it may have to wait for the lock, too
    return {**document, "changed": True}


def _await_status(config: NodeConfig, before: object, seconds: float) -> None:
    """Whoever asks for the status next must not be told how an earlier run ended."""
    deadline = time.monotonic() + seconds
    while _transfer(config) == before:
        ended, late = not _unit()[0], time.monotonic() > deadline
        if (ended or late) and _transfer(config) == before:
            raise EdgeError(
                f"the detached stage {'ended before it began' if ended else 'says nothing of itself'}",
                f"see journalctl -u {UNIT}, or stage without --detach",
            )
        time.sleep(0.05)


def _transfer(config: NodeConfig) -> tuple[object, object]:
    try:
        status = read_status(StatePaths(config.state_dir))
    except EdgeError:
        return None, None
    return status.get("pid"), status.get("started")


def _runs_for(ref: ReleaseRef) -> bool:
    """Whether a detached stage of ``ref`` runs; raises EdgeError if one of another release does."""
    running, description, since = _unit()
    if running and description != f"{_DESCRIPTION}{ref}":
        raise EdgeError(
            f"{description or UNIT} runs since {since}",
            f"wait for its end (ovms-node transfer status), or end it with systemctl stop {UNIT}",
        )
    return running


def _unit() -> tuple[bool, str, str]:
    """Return whether the unit runs, its description, and since when."""
    properties = "ActiveState,Description,ActiveEnterTimestamp"
    try:
        shown = subprocess.run(
            ["systemctl", "show", UNIT, f"--property={properties}"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise EdgeError("systemctl is not there", "stage without --detach") from error
    values = dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)
    running = values.get("ActiveState") in ("active", "activating", "deactivating")
    return running, values.get("Description", ""), values.get("ActiveEnterTimestamp", "")
