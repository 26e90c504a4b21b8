"""The container of what is active, as Docker shows it, against what ``ovms-node`` makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.container import RELEASE_LABEL, RESTART_POLICY, SPEC_LABEL, DesiredServer
from ovms_edge.node.doctor.checks.words import TEND, activate, seconds_of, switching
from ovms_edge.node.doctor.evidence import Evidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict
from ovms_edge.node.output import size_text
from ovms_edge.node.slots import container_name, other_slot
from ovms_edge.node.state import Deployment

Inspected = Mapping[str, Any]

MOST_RESTARTS = 3
_LOOP_SECONDS = 600.0


def young(evidence: Evidence) -> Unknown | None:
    """Return why OVMS cannot be judged yet: its model has time to load."""
    seen, active = evidence.container, evidence.active
    if seen is None or active is None or seen["State"]["Status"] != "running":
        return None
    started = seconds_of(str(seen["State"]["StartedAt"]))
    allowed = float(active.settings.get("start_timeout_seconds", 600))
    if started is None or evidence.now - started > allowed:
        return None
    return Unknown(f"OVMS was started {evidence.now - started:.0f} s ago and has {allowed:.0f} s to load")


def _of_container(
    look: Callable[[Evidence, Deployment, Inspected], Verdict],
) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        active, seen = evidence.active, evidence.container
        if evidence.engine.error or active is None or seen is None:
            return Unknown("no container to look at")
        return look(evidence, active, seen)

    return check


def _exists(evidence: Evidence) -> Verdict:
    active = evidence.active
    if evidence.engine.error or active is None:
        return Unknown("nothing is known of containers")
    if evidence.container is not None:
        return None
    found = f"no container {container_name(active.slot)}"
    return switching(evidence) or Trouble(found, f"one that serves {active.release}", activate(evidence))


def _spec(evidence: Evidence, active: Deployment, seen: Inspected) -> Verdict:
    labels = seen["Config"].get("Labels") or {}
    if labels.get(SPEC_LABEL) == active.spec:
        return None
    name, release = container_name(active.slot), labels.get(RELEASE_LABEL) or "no release of ours"
    found = f"{name} holds {release} (spec {labels.get(SPEC_LABEL, 'none')[:12]})"
    fix = f"docker rm -f {name} && {activate(evidence)}"
    return switching(evidence) or Trouble(found, f"{active.release} (spec {active.spec[:12]})", fix)


def _oom(evidence: Evidence, _active: Deployment, seen: Inspected) -> Verdict:
    if not seen["State"].get("OOMKilled"):
        return None
    limit = size_text(seen["HostConfig"].get("Memory") or 0)
    fix = f"lower ovms_server_cache_size, then {activate(evidence)} --server FILE, or site.yml"
    return Trouble(f"killed for memory at its limit of {limit}", "a cache that fits", fix)


def _restarts(evidence: Evidence, active: Deployment, seen: Inspected) -> Verdict:
    count, state = seen["RestartCount"], seen["State"]
    started = seconds_of(str(state["StartedAt"])) or 0.0
    looping = state["Status"] == "restarting" or (
        count >= MOST_RESTARTS and evidence.now - started < _LOOP_SECONDS
    )
    if not looping:
        return None
    said = f": {evidence.log.last_error}" if evidence.log.last_error else ""
    found = f"OVMS ended and was started again {count} times, exit code {state['ExitCode']}{said}"
    return Trouble(
        found, "no restart", f"docker logs --tail 50 {container_name(active.slot)}; ovms-node rollback"
    )


def _running(evidence: Evidence, active: Deployment, seen: Inspected) -> Verdict:
    status = seen["State"]["Status"]
    if status == "running":
        return None
    found = f"{container_name(active.slot)} is {status}, exit code {seen['State']['ExitCode']}"
    return switching(evidence) or Trouble(found, "running", TEND)


def _policy(evidence: Evidence, active: Deployment, seen: Inspected) -> Verdict:
    policy = (seen["HostConfig"].get("RestartPolicy") or {}).get("Name") or "no"
    if policy == RESTART_POLICY:
        return None
    fix = f"docker update --restart {RESTART_POLICY} {container_name(active.slot)}"
    return switching(evidence) or Trouble(f"restart policy {policy}", RESTART_POLICY, fix)


def _device(evidence: Evidence, active: Deployment, seen: Inspected) -> Verdict:
    if active.settings.get("device") == "CPU":
        return Unknown("OVMS computes on the CPU here")
    devices = [device.get("PathOnHost") for device in seen["HostConfig"].get("Devices") or ()]
    if "/dev/dri" in devices:
        return None
    return Trouble("the container has no /dev/dri: no GPU", "/dev/dri", _made_anew(evidence, active))


def _render_gid(evidence: Evidence, active: Deployment, seen: Inspected) -> Verdict:
    gpu = evidence.gpu.gpu if evidence.gpu else None
    if active.settings.get("device") == "CPU" or gpu is None or not gpu.render_gid:
        return Unknown("no render node that it needs")
    groups = list(seen["HostConfig"].get("GroupAdd") or ())
    if str(gpu.render_gid) in groups:
        return None
    found = (
        f"the container is in group {', '.join(groups) or 'none'}, {gpu.render_node} is of {gpu.render_gid}"
    )
    return Trouble(found, f"group {gpu.render_gid}", activate(evidence))


def _mounts(evidence: Evidence, active: Deployment, seen: Inspected) -> Verdict:
    if evidence.model is None:
        return Unknown("no settings that say where the model is")
    sources = [
        mount.get("Source") for mount in seen.get("Mounts") or () if mount.get("Destination") == "/models"
    ]
    if sources == [str(evidence.model.generation)]:
        return None
    found = f"/models in the container is {sources[0] if sources else 'nothing'}"
    return Trouble(found, str(evidence.model.generation), _made_anew(evidence, active))


def _with_body(
    look: Callable[[Evidence, Deployment, Inspected, dict[str, Any]], Verdict],
) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence, active: Deployment, seen: Inspected) -> Verdict:
        if not isinstance(evidence.rendered, DesiredServer):
            return Unknown("what it has to be cannot be computed")
        return look(evidence, active, seen, evidence.rendered.body(Path("/"), Path("/")))

    return _of_container(check)


def _command(evidence: Evidence, active: Deployment, seen: Inspected, body: dict[str, Any]) -> Verdict:
    found = list(seen["Config"].get("Cmd") or ())
    if found == body["Cmd"]:
        return None
    return Trouble(f"OVMS runs with {' '.join(found)}", " ".join(body["Cmd"]), _made_anew(evidence, active))


def _limit(evidence: Evidence, active: Deployment, seen: Inspected) -> Verdict:
    rendered = evidence.rendered
    if isinstance(rendered, EdgeError):
        return Trouble(rendered.reason, "a memory plan that this host can keep", rendered.remedy)
    if rendered is None:
        return Unknown("no release to plan for")
    found = (seen["HostConfig"].get("Memory"), seen["HostConfig"].get("MemorySwap"))
    if found == (rendered.limit_bytes, rendered.limit_bytes):
        return None
    shown = " and with swap ".join(size_text(value or 0) for value in found)
    return Trouble(
        f"limit {shown}", f"{size_text(rendered.limit_bytes)}, no swap", _made_anew(evidence, active)
    )


_HARDENING = ("ReadonlyRootfs", "CapDrop", "SecurityOpt", "PidsLimit", "NetworkMode")


def _hardening(evidence: Evidence, active: Deployment, seen: Inspected, body: dict[str, Any]) -> Verdict:
    wanted = {name: body["HostConfig"][name] for name in _HARDENING} | {"User": body["User"]}
    host = seen["HostConfig"]
    found = {name: host.get(name) for name in _HARDENING} | {"User": seen["Config"].get("User")}
    wrong = [name for name in wanted if found[name] != wanted[name]]
    if not wrong and not host.get("Privileged"):
        return None
    shown = ", ".join(f"{name} {found[name]}" for name in wrong) or "privileged"
    expected = ", ".join(f"{name} {wanted[name]}" for name in wrong) or "not privileged"
    return Trouble(shown, expected, _made_anew(evidence, active))


def _drift(evidence: Evidence) -> Verdict:
    active, rendered = evidence.active, evidence.rendered
    if active is None or not isinstance(rendered, DesiredServer):
        return Unknown("what it has to be cannot be computed")
    if rendered.spec == active.spec:
        return None
    found = f"spec {active.spec[:12]}; settings, release and host make {rendered.spec[:12]} now"
    return Trouble(found, "the same", activate(evidence))


def _stray(evidence: Evidence) -> Verdict:
    active, state = evidence.active, evidence.state
    if evidence.engine.error or active is None or isinstance(state, EdgeError):
        return Unknown("nothing is known of containers")
    other = container_name(other_slot(active.slot))
    if evidence.engine.containers.get(other) is None or state.pending:
        return None
    found = f"{other} is there, and no switch is under way"
    return switching(evidence) or Trouble(
        found, f"only {container_name(active.slot)}", f"docker rm -f {other}"
    )


def _made_anew(evidence: Evidence, active: Deployment) -> str:
    """Return what makes the container again: its label says that it is what it has to be."""
    return f"docker rm -f {container_name(active.slot)} && {activate(evidence)}"


MODEL_IS_FINE = ("model.damaged", "model.permissions", "config.drift", "graph.drift")
CHECKS = (
    Check(
        "container.exists",
        "error",
        "the active slot's container",
        _exists,
        ("engine.running", "state.active"),
    ),
    Check("container.spec", "error", "its label", _of_container(_spec), ("container.exists",)),
    Check("container.device", "error", "is the GPU given to it", _of_container(_device), ("container.spec",)),
    Check(
        "container.render-gid",
        "error",
        "its groups against the render node's",
        _of_container(_render_gid),
        ("container.spec", "gpu.render-group"),
    ),
    Check(
        "container.mounts", "error", "what it sees at /models", _of_container(_mounts), ("container.spec",)
    ),
    Check("container.command", "error", "OVMS's command line", _with_body(_command), ("container.spec",)),
    Check(
        "container.hardening",
        "error",
        "user, capabilities, network, limits",
        _with_body(_hardening),
        ("container.spec",),
    ),
    Check(
        "container.memory-limit",
        "error",
        "its memory limit against this host's memory",
        _of_container(_limit),
        ("container.spec", "host.memory", "gpu.render-group", "release.manifest", "graph.cache"),
    ),
    Check(
        "container.policy",
        "error",
        "does it start with the host",
        _of_container(_policy),
        ("container.spec",),
    ),
    Check(
        "container.oom",
        "error",
        "was OVMS killed for memory",
        _of_container(_oom),
        ("container.spec", "graph.cache"),
    ),
    Check(
        "container.restarts",
        "error",
        "restart loops",
        _of_container(_restarts),
        ("container.oom", *MODEL_IS_FINE, "container.device", "container.render-gid", "gpu.wedged"),
    ),
    Check("container.running", "error", "does it run", _of_container(_running), ("container.restarts",)),
    Check(
        "container.drift",
        "warning",
        "would the same container be made today",
        _drift,
        (
            "container.render-gid",
            "container.memory-limit",
            "gpu.render-node",
            "graph.drift",
            "release.manifest",
        ),
    ),
    Check("container.stray", "warning", "the other slot", _stray, ("container.exists", "state.pending")),
)
