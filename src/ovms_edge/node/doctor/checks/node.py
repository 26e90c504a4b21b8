"""What the role ``node_agent`` wrote, and what ``ovms-node`` keeps of the node."""

from __future__ import annotations

from collections.abc import Callable

from ovms_edge.errors import EdgeError
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.doctor.checks.words import (
    DAY_SECONDS,
    PREPARE,
    SITE,
    TEND,
    playbook,
    seconds_of,
    switching,
)
from ovms_edge.node.doctor.evidence import Evidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.state import State

# `tend` runs each half minute and settles what it finds.
MOST_PENDING_SECONDS = 180.0
MOST_STATUS_SECONDS = 1200.0
_BROKEN_TRANSFERS = ("interrupted", "failed", "gave_up", "damaged")


def _set_up(evidence: Evidence) -> Verdict:
    if evidence.set_up:
        return None
    return Trouble(f"nothing in {evidence.places.etc}", "a store that the roles prepared", playbook(SITE))


def _config(evidence: Evidence) -> Verdict:
    if not isinstance(evidence.config, EdgeError):
        return None
    return Trouble(evidence.config.reason, "the settings that the role node_agent writes", playbook(PREPARE))


def _with_config(look: Callable[[Evidence, NodeConfig], Verdict]) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        config = evidence.config
        return Unknown("no settings") if isinstance(config, EdgeError) else look(evidence, config)

    return check


def _signers(evidence: Evidence, config: NodeConfig) -> Verdict:
    if evidence.signers:
        return None
    found = f"no key in {config.trust.allowed_signers}"
    return Trouble(found, "the keys in node_agent_allowed_signers", playbook(PREPARE))


def _textfile(_evidence: Evidence, config: NodeConfig) -> Verdict:
    directory = config.textfile_directory
    if directory is None:
        return Unknown("no metrics are wanted here")
    if directory.is_dir():
        return None
    return Trouble(f"no {directory}", "node_exporter's textfile directory", f"install -d -m 0755 {directory}")


def _state(evidence: Evidence) -> Verdict:
    if not isinstance(evidence.state, EdgeError):
        return None
    fix = "mv /var/lib/ovms-edge/state.json{,.damaged} && ovms-node activate NAME@VERSION --server FILE"
    if not isinstance(evidence.config, EdgeError):
        path = StatePaths(evidence.config.state_dir).state
        fix = f"mv {path} {path}.damaged && {playbook('playbooks/activate_release.yml')}"
    return Trouble(evidence.state.reason, "what is active, as ovms-node wrote it", fix)


def _with_state(look: Callable[[Evidence, State], Verdict]) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        state = evidence.state
        return (
            Unknown("state.json is not readable") if isinstance(state, EdgeError) else look(evidence, state)
        )

    return check


def _active(evidence: Evidence, state: State) -> Verdict:
    if state.active is not None:
        return None
    if evidence.switching:
        return switching(evidence)
    return Trouble("nothing is active", "a release that serves", playbook(SITE))


def _pending(evidence: Evidence, state: State) -> Verdict:
    if state.pending is None:
        return None
    if evidence.switching:
        return switching(evidence)
    began = seconds_of(state.pending.started)
    if began is not None and evidence.now - began <= MOST_PENDING_SECONDS:
        return Unknown("ovms-edge-tend is about to settle it")
    found = f"the activation of {state.pending.release}, begun {state.pending.started}, never ended"
    return Trouble(found, "ended by ovms-edge-tend within half a minute", TEND)


def _failed(evidence: Evidence, state: State) -> Verdict:
    recent = [
        failure
        for failure in state.failed
        if (at := seconds_of(failure.at)) is not None and evidence.now - at < DAY_SECONDS
    ]
    if not recent:
        return None
    last = recent[-1]
    found = f"{last.release} failed here at {last.at}: {last.reason}"
    fix = f"activate another release; or, once the cause is mended, ovms-node activate {last.release} --retry"
    return Trouble(found, "no release refused within a day", fix)


def _transfer(evidence: Evidence) -> Verdict:
    seen = evidence.transfer
    if seen is None or seen.get("state") not in _BROKEN_TRANSFERS:
        return None
    result = seen.get("result")
    why = seen.get("reason") or (result.get("reason") if isinstance(result, dict) else "")
    release = seen.get("release", "NAME@VERSION")
    found = f"the last transfer, of {release}: {seen['state']}, {why or 'no reason kept'}"
    return Trouble(found, "done", f"ovms-node stage {release}")


def _status(evidence: Evidence) -> Verdict:
    if evidence.status_age is None:
        return Unknown("no status was written yet")
    if evidence.status_age <= MOST_STATUS_SECONDS or evidence.switching:
        return None
    found = f"status.json is {evidence.status_age / 60:.0f} minutes old"
    return Trouble(found, "written by ovms-edge-tend each minute", "systemctl restart ovms-edge-tend.service")


NODE_CHECKS = (
    Check("node.set-up", "error", "/etc/ovms-edge", _set_up),
    Check("node.config", "error", "/etc/ovms-edge/node.json", _config, ("node.set-up",)),
    Check(
        "node.signers", "error", "keys whose releases are trusted", _with_config(_signers), ("node.config",)
    ),
    Check("node.textfile", "warning", "the directory for metrics", _with_config(_textfile), ("node.config",)),
)
STATE_CHECKS = (
    Check("state.readable", "error", "state.json", _state, ("node.config",)),
    Check(
        "state.active",
        "error",
        "is anything to serve",
        _with_state(_active),
        ("state.readable", "gpu.render-mode", "engine.running"),
    ),
    Check(
        "state.pending", "error", "an activation that never ended", _with_state(_pending), ("state.readable",)
    ),
    Check(
        "state.failed", "warning", "releases refused within a day", _with_state(_failed), ("state.readable",)
    ),
    Check("state.transfer", "warning", "the last transfer", _transfer, ("node.config",)),
)
STATUS = Check(
    "state.status",
    "warning",
    "age of status.json",
    _status,
    ("node.config", "units.timer", "host.read-only", "host.disk"),
)
