"""What this node tells of itself: the document of ``status``, and the files that monitoring reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.facts import disk_facts, release_facts
from ovms_edge.node.failures import only_logged
from ovms_edge.node.files import write_atomic
from ovms_edge.node.history import keep_history, switch_history
from ovms_edge.node.lock import exclusive
from ovms_edge.node.metrics import prometheus_text
from ovms_edge.node.output import log, utc_now
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.run import run_id
from ovms_edge.node.state import Deployment, State

METRICS_FILE = "ovms-edge.prom"
_WAIT_SECONDS = 5.0
_GATE_KEYS = ("ok", "reason", "release", "warm_up_seconds", "first_token_seconds", "total_seconds")


def status_document(
    config: NodeConfig, state: State, server: Mapping[str, Any] | None, route: str | None
) -> dict[str, Any]:
    """Return the document of ``status`` (docs/contracts.md). Reads only.

    ``server`` is what ``server_facts`` says, ``route`` what the gateway's route is, None without a gateway.
    """
    paths = StatePaths(config.state_dir)
    return {
        "ok": True,
        "run": run_id(),
        "at": utc_now(),
        "active": _deployment(state.active),
        "previous": _deployment(state.previous),
        "pending": asdict(state.pending) if state.pending else None,
        "route": route,
        "server": dict(server) if server else None,
        "gate": _last_gate(paths.gate),
        "switches": switch_history(paths),
        "failed": [
            {"release": known.release, "reason": known.reason, "at": known.at} for known in state.failed
        ],
        "disk": disk_facts(config.state_dir),
        "releases": release_facts(paths),
    }


def remember_gate(paths: StatePaths, report: Mapping[str, Any]) -> None:
    """Keep what a gate said (the document of ``verify``) for ``status``. It fails no switch: it logs."""
    with (
        only_logged("the status goes on showing the gate before"),
        exclusive(paths.status_lock, _WAIT_SECONDS),
    ):
        before = _last_gate(paths.gate) or {}
        at = utc_now()
        gate = {
            "at": at,
            **{key: report.get(key) for key in _GATE_KEYS},
            "passed_at": at if report["ok"] else before.get("passed_at"),
        }
        _publish(paths.gate, gate)


def write_status(config: NodeConfig, status: Callable[[], Mapping[str, Any]]) -> None:
    """Write ``status`` where monitoring reads it, and keep the history. It fails no command: it logs."""
    paths = StatePaths(config.state_dir)
    with only_logged("monitoring does not see this"), exclusive(paths.status_lock, _WAIT_SECONDS):
        with only_logged("the history of switches is not kept"):
            keep_history(paths)
        document = status()
        with only_logged("status.json is as it was"):
            _publish(paths.status_file, document)
        if config.textfile_directory:
            _write_metrics(config.textfile_directory, document)


def _write_metrics(directory: Path, document: Mapping[str, Any]) -> None:
    try:
        write_atomic(directory / METRICS_FILE, prometheus_text(document).encode(), 0o644, durable=False)
    except OSError as error:
        raise EdgeError(
            f"no metrics in {directory}: {error.strerror}",
            "install node_exporter with its textfile collector, or set node_agent_textfile_directory "
            "to where that looks",
        ) from error


def _publish(path: Path, document: Mapping[str, Any]) -> None:
    """Replace a file that is written often, and again after a power cut: not worth the disk's wear."""
    write_atomic(path, json.dumps(document).encode() + b"\n", 0o644, durable=False)


def _deployment(deployment: Deployment | None) -> dict[str, Any] | None:
    if deployment is None:
        return None
    return {
        "release": deployment.release,
        "servable": deployment.servable,
        "since": deployment.since,
        "summary": deployment.summary,
        "slot": deployment.slot,
        "tier": deployment.summary.get("tier"),
    }


def _last_gate(path: Path) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        return {key: document[key] for key in ("at", *_GATE_KEYS, "passed_at")}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        log(f"{path} is damaged: {error!r}; the next gate writes it anew")
        return None
