"""Finding the way after an interruption: what is active serves, and nothing else is left."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ovms_edge.errors import EdgeError
from ovms_edge.node.context import Node
from ovms_edge.node.gate_report import GateReport
from ovms_edge.node.output import log
from ovms_edge.node.server import Server, find_containers, target_of
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.node.slots import other_slot
from ovms_edge.node.state import Deployment, State, record, save_state
from ovms_edge.node.status_document import remember_gate
from ovms_edge.node.switching import SettleStep, settle_steps


@dataclass(frozen=True)
class Settled:
    """``lacking``: what is active has no container. ``gate`` is its own, None where it served all along."""

    state: State
    steps: tuple[SettleStep, ...]
    lacking: bool
    gate: GateReport | None = None


def settle(node: Node, state: State) -> Settled:
    """End an interrupted switch, and bring back what is active where it does not serve.

    Raises EdgeError for what the engine refuses; what does not pass the gate is in the result.
    """
    server = Server(node)
    found = find_containers(node)
    steps = settle_steps(state, found)
    lacking = state.active is not None and not found.holds(state.active)
    report = None
    for step in steps:
        log(f"found in slots and state.json: {step.value}")
        if step is SettleStep.REMOVE_CANDIDATE and state.pending:
            server.remove(state.pending.slot)
        elif state.active and step is SettleStep.RETIRE:
            settings = parse_server_settings(state.active.settings)
            server.end_requests(other_slot(state.active.slot), settings.drain_timeout_seconds)
            server.remove(other_slot(state.active.slot))
        elif state.active:
            report = _serve(node, server, state.active)
            state = _with_start(state, report)
    if state.pending or report:
        state = replace(state, pending=None)
        save_state(node.paths.state, state)
    if steps:
        names = [step.name.lower() for step in steps]
        record(node.paths.journal, "settled", steps=names, ok=report.ok if report else True)
    return Settled(state, steps, lacking, report)


def _serve(node: Node, server: Server, active: Deployment) -> GateReport:
    """Start, gate and route to what passed the gate before.

    One that loads and then does not pass gets its requests back all the same: nothing better is here, and
    what it answers may be late only. One whose load failed is started anew, since OVMS does not try again.
    One that cannot be put to the gate, since its release was taken away, is routed to and then reported.
    """
    server.vouch(active.slot)
    server.start(active.slot)
    try:
        target = target_of(node, active)
    except EdgeError:
        server.route_to(active.slot)
        raise
    report = server.gate(target)
    if report.load_failed:
        log(f"{report.reason}: starting it anew")
        server.stop(active.slot)
        server.start(active.slot)
        report = server.gate(target)
    if report.ok or report.state == "AVAILABLE":
        server.route_to(active.slot)
    remember_gate(node.paths, report.document)
    return report


def _with_start(state: State, report: GateReport) -> State:
    """Remember what this start logged: the log may be rotated away later."""
    if state.active is None or not report.ok:
        return state
    seen = {"devices": report.devices, "container_started": report.container_started}
    return replace(state, active=replace(state.active, **seen))  # type: ignore[arg-type]
