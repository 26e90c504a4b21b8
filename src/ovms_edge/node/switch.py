"""The switch: every step leaves slots, route and state.json such that the next call can settle it.

Tier A has memory for two: the new container is loaded and gated beside the old one, then the route flips.
Tier B has it for one: requests wait in the gateway from the old one's end to the new one's gate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ovms_edge.errors import EdgeError
from ovms_edge.node.back import bring_back
from ovms_edge.node.container import DesiredServer
from ovms_edge.node.context import Node
from ovms_edge.node.failures import ActivationError, edge_error, only_logged
from ovms_edge.node.gate import check_route
from ovms_edge.node.gate_report import GateReport, Target
from ovms_edge.node.generation import is_whole, prune_generations
from ovms_edge.node.host import memory_bytes
from ovms_edge.node.output import log, utc_now
from ovms_edge.node.prepare import Places, prepare
from ovms_edge.node.releases import StagedRelease
from ovms_edge.node.server import Server, find_containers
from ovms_edge.node.settle import settle
from ovms_edge.node.slots import Slot, container_name, other_slot
from ovms_edge.node.state import Deployment, Pending, State, record, save_state
from ovms_edge.node.status_document import remember_gate
from ovms_edge.node.steps import Step, Steps
from ovms_edge.node.switching import choose_tier
from ovms_edge.ovms.memory import Tier


@dataclass(frozen=True)
class Outcome:
    """A gate that passed, and whether anything had to be done for it.

    ``tier`` is that of the switch, None where there was none; ``steps`` are seconds from its beginning.
    """

    gate: GateReport
    changed: bool
    tier: Tier | None
    steps: dict[str, float]


class Switch:
    """Brings this node to ``desired``. ``event`` is what the journal calls it."""

    def __init__(
        self, node: Node, desired: DesiredServer, release: StagedRelease, event: str = "activated"
    ) -> None:
        self._node = node
        self._desired = desired
        self._release = release
        self._event = event
        self._settings = desired.settings
        self._server = Server(node)
        self._steps = Steps()

    def run(self, state: State) -> Outcome:
        """Settle what was interrupted, prepare, then repair or switch.

        Raises ActivationError if the gate says no, and EdgeError for what fails before anything stops.
        """
        settled = settle(self._node, state)
        state = settled.state
        found = find_containers(self._node)
        slot = found.serving_slot(state)
        current = found.containers[slot] if slot else None
        if slot and current and current.spec == self._desired.spec:
            outcome = self._repair(state, slot)
        else:
            places = prepare(self._node, self._desired, self._release)
            outcome = self._switch(state, slot, self._tier(bool(current and current.running)), places)
        return replace(outcome, changed=outcome.changed or bool(settled.steps))

    def _tier(self, serves: bool) -> Tier:
        memory = self._desired.memory
        return choose_tier(memory.tier, self._settings.tier, memory.need_bytes, memory_bytes()[1], serves)

    def _repair(self, state: State, slot: Slot) -> Outcome:
        """Gate the right container, on the release's own files; make it anew if it does not pass."""
        committed = state.active is not None and state.active.spec == self._desired.spec
        whole = is_whole(self._node.paths, self._desired, self._release)
        places = prepare(self._node, self._desired, self._release) if whole else self._mend(slot)
        self._server.start(slot)
        report = self._server.gate(self._target(state, slot))
        if not report.ok:
            log(f"{report.reason}: making the container anew")
            return self._switch(state, slot, "B", places)
        after = self._commit(state, slot, report)
        self._server.vouch(slot)
        self._route(report, slot)
        self._tell("repaired" if committed else self._event, after, report, slot, None)
        return Outcome(report, not (whole and committed), None, self._steps.seconds)

    def _mend(self, slot: Slot) -> Places:
        """Stop the container, then replace what it serves from: it mounts that at its next start only."""
        name = container_name(slot)
        log(f"what {name} serves from is not the release's own files: stopping it to mend that")
        self._server.hold()
        try:
            self._drain(slot)
            self._server.stop(slot)
            return prepare(self._node, self._desired, self._release)
        except (EdgeError, OSError):
            self._server.start(slot)
            self._server.route_to(slot)
            raise

    def _switch(self, state: State, old: Slot | None, tier: Tier, places: Places) -> Outcome:
        slot: Slot = other_slot(old) if old else "a"
        ref, spec = str(self._desired.manifest.ref), self._desired.spec
        pending = Pending(ref, spec, self._desired.generation, utc_now(), slot)
        save_state(self._node.paths.state, replace(state, pending=pending))
        record(self._node.paths.journal, "activating", release=ref, spec=spec, slot=slot, tier=tier)
        self._steps.reached(Step.BEGUN)
        after = state
        try:
            report = self._load(state, slot, old, tier, places)
            if report.ok:
                after = self._commit(state, slot, report)
        except (EdgeError, OSError) as caught:
            error = edge_error(caught)
            failure = (error.reason, error.remedy)
            report = GateReport(self._target(state, slot), failure=failure, blames_release=False)
        if not report.ok:
            raise bring_back(self._node, self._desired, self._steps, state, slot, old, report)
        self._steps.reached(Step.COMMITTED)
        with only_logged("what starts with the host is not settled yet; ovms-node tend sees to it"):
            if old:
                self._server.forsake(old)
            self._server.vouch(slot)
        self._route(report, slot)
        if old:
            with only_logged("the container that was replaced is still there; ovms-node tend removes it"):
                self._retire(old, tier)
        self._tell(self._event, after, report, slot, tier)
        return Outcome(report, True, tier, self._steps.seconds)

    def _load(self, state: State, slot: Slot, old: Slot | None, tier: Tier, places: Places) -> GateReport:
        """Bring the new container to the gate: beside the old one, or in its place."""
        if find_containers(self._node).containers[slot]:
            self._server.remove(slot)  # one that state.json, lost meanwhile, does not know
        self._server.create(slot, self._desired, places)
        self._steps.reached(Step.CREATED)
        if tier == "B" and old:
            self._server.hold()
            self._steps.reached(Step.HELD)
            self._drain(old)
            self._steps.reached(Step.DRAINED)
            self._server.end(old)
            self._steps.reached(Step.STOPPED)
        beside = tier == "A" and old is not None
        self._server.start(slot, beside)
        self._steps.reached(Step.STARTED)
        report = self._server.gate(self._target(state, slot), beside)
        self._steps.reached(Step.GATED)
        return report

    def _drain(self, slot: Slot) -> None:
        """Wait for requests to end that nothing compels us to cut; raises EdgeError if they do not."""
        seconds = self._settings.drain_timeout_seconds
        if not self._server.drained(slot, seconds):
            raise EdgeError(
                f"requests to {container_name(slot)} did not end within {seconds} s",
                "call again when the store has less to do, or raise drain_timeout_seconds",
            )

    def _retire(self, old: Slot, tier: Tier) -> None:
        """Remove the container that was replaced; in tier A it may still be answering."""
        if tier == "A":
            self._server.end_requests(old, self._settings.drain_timeout_seconds)
            self._steps.reached(Step.DRAINED)
        self._server.remove(old)
        self._steps.reached(Step.REMOVED)

    def _commit(self, state: State, slot: Slot, report: GateReport) -> State:
        """Make the container in ``slot`` what is active, from here on; returns the state with it."""
        desired = self._desired
        deployment = Deployment(
            release=str(desired.manifest.ref),
            servable=desired.settings.servable,
            settings=desired.settings.document(),
            spec=desired.spec,
            generation=desired.generation,
            since=utc_now(),
            summary=desired.summary,
            slot=slot,
            devices=report.devices,
            container_started=report.container_started,
            times=report.times,
        )
        after = state.with_active(deployment)
        save_state(self._node.paths.state, after)
        return after

    def _route(self, report: GateReport, slot: Slot) -> None:
        """Send requests to ``slot``; raises ActivationError if the gateway does not do it."""
        self._server.route_to(slot)
        self._steps.reached(Step.ROUTED)
        remember_gate(self._node.paths, report.document)
        try:
            check_route(self._node.gateway, slot)
        except EdgeError as error:
            document = {"changed": True, "serving": None, "gate": report.document}
            raise ActivationError(error.reason, error.remedy, document) from error

    def _tell(self, event: str, after: State, report: GateReport, slot: Slot, tier: Tier | None) -> None:
        with only_logged("what containers served from before is still there"):
            prune_generations(self._node.paths, after.generations)
        record(
            self._node.paths.journal,
            event,
            release=str(self._desired.manifest.ref),
            spec=self._desired.spec,
            slot=slot,
            tier=tier,
            steps=self._steps.seconds,
            first_token_seconds=report.first.first_token_seconds if report.first else None,
            total_seconds=report.first.total_seconds if report.first else None,
        )

    def _target(self, state: State, slot: Slot) -> Target:
        settings, active = self._settings, state.active
        return Target(
            settings,
            self._release.manifest,
            self._release.directory,
            self._desired.memory.cache_size_gib,
            self._desired.spec,
            container_name(slot),
            self._node.gateway.server_url(slot),
            tier=self._desired.memory.tier,
            last_good=active.times_on(settings.device) if active else {},
        )
