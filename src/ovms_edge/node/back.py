"""The way back from a switch whose new container did not pass."""

from __future__ import annotations

from dataclasses import replace

from ovms_edge.errors import EdgeError
from ovms_edge.node.container import DesiredServer
from ovms_edge.node.context import Node
from ovms_edge.node.evidence import evidence
from ovms_edge.node.failures import ActivationError, only_logged
from ovms_edge.node.gate_report import GateReport
from ovms_edge.node.generation import prune_generations
from ovms_edge.node.output import log, utc_now
from ovms_edge.node.server import Server, find_containers, target_of
from ovms_edge.node.slots import Slot, container_name
from ovms_edge.node.state import Failure, State, record, save_state
from ovms_edge.node.status_document import remember_gate
from ovms_edge.node.steps import Step, Steps

# An engine that was killed is started again by systemd at once.
_ENGINE_SECONDS = 60.0


def bring_back(
    node: Node,
    desired: DesiredServer,
    steps: Steps,
    state: State,
    slot: Slot,
    old: Slot | None,
    report: GateReport,
) -> ActivationError:
    """Remove the new container, let the old one serve again, and return what the caller has to raise."""
    reason, remedy = report.failure or ("", "")
    release, server = str(desired.manifest.ref), Server(node)
    log(f"{reason}: going back to what was there before")
    with only_logged("the engine does not come back; ovms-node tend sees to the rest"):
        node.docker.wait_until_it_runs(_ENGINE_SECONDS)
    document = {"gate": report.document, **evidence(node.docker, container_name(slot))}
    steps.reached(Step.FAILED)
    with only_logged("the new container is still there; ovms-node tend removes it"):
        if find_containers(node).containers[slot]:
            server.remove(slot)
        steps.reached(Step.CANDIDATE_REMOVED)
    serving = None
    if old:
        with only_logged("what was there before does not serve again yet; ovms-node tend goes on"):
            serving = _serve_again(node, server, steps, state, old)
    after = replace(state, pending=None)
    if report.blames_release:
        after = state.with_failure(Failure(desired.spec, release, reason, utc_now()))
    with only_logged("state.json still says that an activation is under way; ovms-node tend mends it"):
        save_state(node.paths.state, after)
        prune_generations(node.paths, after.generations)
        record(
            node.paths.journal, "failed", release=release, reason=reason, serving=serving, steps=steps.seconds
        )
    changed = old is not None and serving is None
    return ActivationError(
        reason, remedy, {"changed": changed, "serving": serving, "steps": steps.seconds, **document}
    )


def _serve_again(node: Node, server: Server, steps: Steps, state: State, old: Slot) -> str | None:
    """Return the release that serves again, None if none does or state.json does not know it."""
    server.start(old)
    steps.reached(Step.OLD_STARTED)
    serving = None
    try:
        if state.active and state.active.slot == old:
            report = server.gate(target_of(node, state.active))
            remember_gate(node.paths, report.document)
            serving = state.active.release if report.ok else None
            steps.reached(Step.OLD_GATED)
    except EdgeError as error:
        log(f"what was there before could not be put to the gate: {error}")
    # Whatever the gate says: it served before, and nothing better is here. The gateway waits until it is up.
    server.route_to(old)
    steps.reached(Step.BACK_ROUTED)
    return serving
