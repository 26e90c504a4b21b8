"""The switch: every step leaves names, labels and state.json such that the next call can settle it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.container import (
    RESTART_POLICY,
    STOP_TIMEOUT_SECONDS,
    DesiredServer,
)
from ovms_edge.node.docker import Docker
from ovms_edge.node.failures import ActivationError, edge_error, only_logged
from ovms_edge.node.gate import log_tail, run_gate
from ovms_edge.node.gate_report import GateReport, Target, is_available
from ovms_edge.node.generation import is_whole, prune_generations
from ovms_edge.node.output import log, utc_now
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.prepare import Places, prepare
from ovms_edge.node.releases import StagedRelease, staged_release
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.node.state import Deployment, Pending, State, record, save_state
from ovms_edge.node.switching import Seen, Step, aside_name, seen, settle_steps

_IDLE_STOP_SECONDS = 2


@dataclass(frozen=True)
class Outcome:
    """A gate that passed, and whether anything had to be done for it."""

    gate: GateReport
    changed: bool


def target_of(config: NodeConfig, deployment: Deployment) -> Target:
    """Return what the gate holds an earlier deployment against; raises EdgeError if its release is gone."""
    ref = ReleaseRef.parse(deployment.release)
    release = staged_release(StatePaths(config.state_dir), ref)
    if release is None:
        raise EdgeError(f"{ref} serves but is no longer on this node", f"run ovms-node stage {ref}")
    return Target(
        parse_server_settings(deployment.settings),
        release.manifest,
        release.directory,
        int(deployment.summary["cache_size"]),
        deployment.spec,
        deployment.devices,
        deployment.container_started,
        deployment.summary.get("tier"),
        deployment.times_on(str(deployment.settings.get("device"))),
    )


class Switch:
    """Brings one container to ``desired``."""

    def __init__(
        self,
        config: NodeConfig,
        docker: Docker,
        desired: DesiredServer,
        release: StagedRelease,
        target: Target,
    ) -> None:
        self._config = config
        self._docker = docker
        self._desired = desired
        self._release = release
        self._target = target
        self._paths = StatePaths(config.state_dir)
        self._name = desired.settings.container
        self._aside = aside_name(self._name)

    def run(self, state: State) -> Outcome:
        """Settle what was interrupted, prepare, then repair or switch.

        Raises ActivationError if the gate says no, and EdgeError for what fails before anything stops.
        """
        steps = settle_steps(state, self._seen(self._name), self._seen(self._aside))
        state = self._settle(state, steps)
        self._places = self._prepare(state)
        current = self._seen(self._name)
        if current and current.spec == self._desired.spec:
            outcome = self._repair(state, current)
        else:
            outcome = self._switch(state, current)
        return replace(outcome, changed=outcome.changed or bool(steps))

    def _prepare(self, state: State) -> Places:
        """Prepare; a container that runs on a generation that is to be replaced is stopped before.

        It mounts the new one at its next start only, and stopped it says so to whoever comes after a kill.
        """
        current = self._seen(self._name)
        stale = current is not None and current.running and current.spec == self._desired.spec
        if not stale or is_whole(self._paths, self._desired, self._release):
            return prepare(self._config, self._docker, self._desired, self._release)
        log(f"what {self._name} serves from is not the release's own files: stopping it to mend that")
        self._docker.stop(self._name, self._stop_seconds(state))
        try:
            return prepare(self._config, self._docker, self._desired, self._release)
        except (EdgeError, OSError):
            self._docker.start(self._name)
            raise

    def _settle(self, state: State, steps: tuple[Step, ...]) -> State:
        for step in steps:
            log(f"an earlier activation was interrupted: {step.value}")
            if step is Step.REMOVE_CURRENT:
                self._docker.remove(self._name)
            elif step is Step.REMOVE_ASIDE:
                self._docker.remove(self._aside)
            else:
                self._restore_aside()
                self._docker.start(self._name)
        if steps or state.pending:
            state = replace(state, pending=None)
            save_state(self._paths.state, state)
            record(self._paths.journal, "settled", steps=[step.name.lower() for step in steps])
        return state

    def _repair(self, state: State, current: Seen) -> Outcome:
        """Bring the right container to serve, or gate it if it serves and never was."""
        untouched = current.running
        if not untouched:
            log(f"container {self._name} is {current.status}: starting it")
        report = self._start_and_gate()
        if not report.ok:
            log(f"{report.reason}: making the container anew")
            untouched = False
            self._docker.remove(self._name)
            self._create()
            report = self._start_and_gate()
        if not report.ok:
            raise self._failed(report, serving=None, changed=False)
        committed = state.active is not None and state.active.spec == self._desired.spec
        self._tidy(self._commit(state, report), report, "repaired" if committed else "activated")
        return Outcome(report, changed=not (untouched and committed))

    def _switch(self, state: State, old: Seen | None) -> Outcome:
        pending = Pending(
            str(self._desired.manifest.ref), self._desired.spec, self._desired.generation, utc_now()
        )
        save_state(self._paths.state, replace(state, pending=pending))
        record(self._paths.journal, "activating", release=pending.release, spec=pending.spec)
        try:
            if old:
                self._docker.rename(self._name, self._aside)
            self._create()
            if old:
                log(f"stopping {old.release}")
                self._docker.stop(self._aside, self._stop_seconds(state))
            self._docker.start(self._name)
            if old:
                # not before: a host that starts in the middle of this must find one that starts with it
                self._docker.set_restart_policy(self._aside, "no")
            report = self._gate()
            after = self._commit(state, report) if report.ok else state
        except (EdgeError, OSError) as caught:
            error = edge_error(caught)
            report = GateReport(self._target, failure=(error.reason, error.remedy))
        if report.ok:
            self._tidy(after, report, "activated")
            return Outcome(report, changed=True)
        tail = log_tail(self._docker, self._name)
        log(f"{report.reason}: bringing back what was there before")
        serving = self._bring_back(state, old)
        raise self._failed(report, serving, changed=bool(old and old.running and serving is None), tail=tail)

    def _stop_seconds(self, state: State) -> int:
        """Return how long the old container may take to end: long only if it has requests to finish."""
        if state.active is None:
            return STOP_TIMEOUT_SECONDS
        serves = is_available(parse_server_settings(state.active.settings))
        return STOP_TIMEOUT_SECONDS if serves else _IDLE_STOP_SECONDS

    def _bring_back(self, state: State, old: Seen | None) -> str | None:
        """Return the release that serves again, None if none does or state.json does not know it."""
        serving = None
        with only_logged("what was there before does not serve again"):
            if self._seen(self._aside):
                if self._seen(self._name):
                    self._docker.remove(self._name)
                self._restore_aside()
            elif old is None and self._seen(self._name):
                self._docker.remove(self._name)
            if old:
                self._docker.start(self._name)
            if old and state.active:
                target = target_of(self._config, state.active)
                back = run_gate(self._docker, target, self._target.settings.start_timeout_seconds)
                serving = state.active.release if back.ok else None
        with only_logged("state.json still says that an activation is under way"):
            save_state(self._paths.state, replace(state, pending=None))
            self._prune(state)
        return serving

    def _restore_aside(self) -> None:
        self._docker.set_restart_policy(self._aside, RESTART_POLICY)
        self._docker.rename(self._aside, self._name)

    def _create(self) -> None:
        self._docker.create_container(
            self._name, self._desired.body(self._places.models, self._places.cache, self._places.image)
        )

    def _start_and_gate(self) -> GateReport:
        self._docker.start(self._name)
        return self._gate()

    def _gate(self) -> GateReport:
        log(f"waiting for {self._desired.settings.servable}")
        return run_gate(self._docker, self._target, self._desired.settings.start_timeout_seconds)

    def _commit(self, state: State, report: GateReport) -> State:
        """From here on the new container is the one that was gated."""
        active = state.active
        same = active is not None and active.spec == self._desired.spec
        deployment = Deployment(
            release=str(self._desired.manifest.ref),
            servable=self._desired.settings.servable,
            settings=self._desired.settings.document(),
            spec=self._desired.spec,
            generation=self._desired.generation,
            since=active.since if same and active else utc_now(),
            summary=self._desired.summary,
            devices=report.devices,
            container_started=report.container_started,
            times=report.times,
        )
        state = State(active=deployment, previous=state.previous if same else active)
        save_state(self._paths.state, state)
        return state

    def _tidy(self, state: State, report: GateReport, event: str) -> None:
        if self._seen(self._aside):
            self._docker.remove(self._aside)
        self._prune(state)
        record(
            self._paths.journal,
            event,
            release=str(self._desired.manifest.ref),
            spec=self._desired.spec,
            first_token_seconds=report.first.first_token_seconds if report.first else None,
            total_seconds=report.first.total_seconds if report.first else None,
        )

    def _failed(
        self, report: GateReport, serving: str | None, changed: bool, tail: list[str] | None = None
    ) -> ActivationError:
        reason, remedy = report.failure or ("", "")
        release = self._desired.summary["release"]
        with only_logged("the journal lacks this failure"):
            record(self._paths.journal, "failed", release=release, reason=reason, serving=serving)
        lines = log_tail(self._docker, self._name) if tail is None else tail
        document = {"changed": changed, "serving": serving, "gate": report.document, "log_tail": lines}
        return ActivationError(reason, remedy, document)

    def _prune(self, state: State) -> None:
        prune_generations(self._paths, {kept.generation for kept in (state.active, state.previous) if kept})

    def _seen(self, name: str) -> Seen | None:
        return seen(self._docker.container(name), name)
