"""All evidence of a node, in one pass that reads only and takes a few seconds at most.

No lock is taken: what changes meanwhile is seen in the middle of it, and a switch under way is told apart.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ovms_edge.errors import EdgeError
from ovms_edge.node.config import NodeConfig, load_node_config
from ovms_edge.node.docker import Docker
from ovms_edge.node.doctor.ask_depot import ask_depot
from ovms_edge.node.doctor.collect_engine import engine_evidence, log_evidence, server_evidence
from ovms_edge.node.doctor.collect_gateway import gateway_answer, gateway_evidence
from ovms_edge.node.doctor.collect_host import gpu_evidence, host_evidence, lock_command, units_evidence
from ovms_edge.node.doctor.collect_model import model_evidence, rendered_server
from ovms_edge.node.doctor.commands import Run, run
from ovms_edge.node.doctor.evidence import (
    AnswerEvidence,
    DepotEvidence,
    EngineEvidence,
    Evidence,
    GatewayEvidence,
    LogEvidence,
    Places,
    ServerEvidence,
)
from ovms_edge.node.doctor.side_by_side import ask_all
from ovms_edge.node.gateway import GATEWAY_FILE, Gateway, load_gateway
from ovms_edge.node.host import in_container
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.releases import StagedRelease
from ovms_edge.node.state import Deployment, State, load_state
from ovms_edge.node.transfer_files import read_status

_ENGINE_SECONDS = 2.0
_ALL_SECONDS = 3.5
_HANGS = EdgeError("Docker Engine does not answer", "see journalctl -u docker")
_GATEWAY_HANGS = EdgeError("the gateway does not answer in time", "see journalctl -u ovms-edge-gateway")
# `tend` looks at all each half minute, with the lock held: that is no switch.
_TEND = "tend"

Read = TypeVar("Read")


@dataclass(frozen=True)
class Means:
    """What evidence is collected with; other than these only in tests."""

    docker: Docker
    run: Run
    in_container: bool

    @classmethod
    def of_this_host(cls) -> Means:
        """Return those of a real host."""
        return cls(Docker(timeout=_ENGINE_SECONDS), run, in_container())


def collect(places: Places, means: Means) -> Evidence:
    """Return the evidence of this node; what cannot be had is None, or the error that says why."""
    config = _or_error(lambda: load_node_config(places.node_config))
    gateway = _or_error(lambda: load_gateway(places.node_config.with_name(GATEWAY_FILE)))
    known = config if isinstance(config, NodeConfig) else None
    front = gateway if isinstance(gateway, Gateway) else None
    paths = StatePaths(known.state_dir) if known else None
    state = _or_error(lambda: load_state(paths.state)) if paths else State()
    active = state.active if isinstance(state, State) else None
    depot = DepotEvidence(known.depot.url) if known else None
    mirrors = tuple(DepotEvidence(server.url) for server in known.mirrors) if known else ()
    questions: dict[str, Callable[[], object]] = {
        "engine": lambda: engine_evidence(means.docker, front, active, paths),
        "units": lambda: units_evidence(means.run),
    }
    if front:
        questions["gateway"] = lambda: gateway_evidence(places, front, means.run)
        questions["health"] = lambda: gateway_answer(front)
        if active:
            questions["server"] = lambda: server_evidence(front.server_url(active.slot))
    if known and depot:
        questions["depot"] = lambda: ask_depot(known.depot, depot)
        for server, seen in zip(known.mirrors, mirrors, strict=True):
            questions[f"mirror {server.url}"] = _question(ask_depot, server, seen)
    if active:
        questions["log"] = lambda: log_evidence(means.docker, active)
    if known and active:
        questions["model"] = lambda: model_evidence(known, active)
    answers: dict[str, Any] = ask_all(questions, _ALL_SECONDS)
    host = host_evidence(places, known, means.in_container)
    gpu = gpu_evidence(places, known) if known else None
    model = answers.get("model")
    rendered = None
    if model and front and gpu and active and isinstance(model.release, StagedRelease):
        rendered = rendered_server(active, model.release, front, gpu.gpu, host.memory_total)
    return Evidence(
        places=places,
        now=time.time(),
        set_up=_set_up(places),
        config=config,
        gateway=gateway,
        state=state,
        host=host,
        gpu=gpu,
        units=answers.get("units"),
        engine=answers.get("engine") or EngineEvidence(True, _HANGS),
        log=answers.get("log") or LogEvidence(),
        gateway_evidence=answers.get("gateway") or GatewayEvidence(),
        answer=answers.get("health") or AnswerEvidence(_GATEWAY_HANGS),
        depot=depot,
        mirrors=mirrors,
        signers=_signers(known.trust.allowed_signers) if known else 0,
        server=answers.get("server") or _silent(active, front),
        model=model,
        rendered=rendered,
        switching=_switching(paths, places.proc) if paths else "",
        transfer=_transfer(paths) if paths else None,
        gate=_object(paths.gate) if paths else None,
        status_age=_age(paths.status_file) if paths else None,
    )


def _question(
    ask: Callable[[Any, DepotEvidence], None], server: object, seen: DepotEvidence
) -> Callable[[], object]:
    return lambda: ask(server, seen)


def _silent(active: Deployment | None, front: Gateway | None) -> ServerEvidence | None:
    if active is None or front is None:
        return None
    return ServerEvidence(EdgeError(f"{front.server_url(active.slot)} does not answer", "see its log"))


def _or_error(read: Callable[[], Read]) -> Read | EdgeError:
    try:
        return read()
    except EdgeError as error:
        return error
    except OSError as error:
        return EdgeError(f"{error.filename} cannot be read: {error.strerror}", "mend its permissions or disk")


def _set_up(places: Places) -> bool:
    """Whether any role of ours was here before."""
    return places.etc.is_dir() and any(places.etc.iterdir())


def _signers(path: Path) -> int:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return 0
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in lines)


def _switching(paths: StatePaths, proc: Path) -> str:
    command = lock_command(paths.serve_lock, proc)
    return "" if command.split(" ")[0] == _TEND else command


def _transfer(paths: StatePaths) -> dict[str, Any] | None:
    try:
        return read_status(paths)
    except EdgeError as error:
        return {"state": "damaged", "reason": error.reason}


def _object(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _age(path: Path) -> float | None:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return None
