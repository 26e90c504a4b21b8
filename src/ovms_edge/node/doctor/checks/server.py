"""OVMS itself, past the gateway: what it answers of the servable. It is asked for no completion."""

from __future__ import annotations

from collections.abc import Callable

from ovms_edge.node.doctor.checks.container import young
from ovms_edge.node.doctor.checks.words import activate, seconds_of, some, switching
from ovms_edge.node.doctor.evidence import Evidence, ServerEvidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict
from ovms_edge.node.slots import container_name
from ovms_edge.node.state import Deployment

# Files are written before the container is started; clocks of file systems tick coarsely.
_TICK_SECONDS = 1.0


def _of_server(
    look: Callable[[Evidence, Deployment, ServerEvidence], Verdict],
) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        active, seen = evidence.active, evidence.server
        if active is None or seen is None or seen.error:
            return Unknown("OVMS does not answer")
        return look(evidence, active, seen)

    return check


def _answers(evidence: Evidence) -> Verdict:
    active, seen = evidence.active, evidence.server
    if active is None or seen is None:
        return Unknown("nothing is active, or no gateway says where it is")
    if seen.error is None:
        return None
    why = switching(evidence) or young(evidence)
    return why or Trouble(seen.error.reason, "an answer to GET /v1/config", _again(active))


def _servable(evidence: Evidence, active: Deployment, seen: ServerEvidence) -> Verdict:
    if active.servable in seen.servables:
        return None
    why = switching(evidence) or (None if seen.servables else young(evidence))
    found = f"OVMS serves {some(seen.servables) or 'nothing'}: clients that ask for another name get 404"
    return why or Trouble(found, active.servable, _again(active))


def _load(evidence: Evidence, active: Deployment, seen: ServerEvidence) -> Verdict:
    entry = seen.servables.get(active.servable)
    if entry is None or not entry.failed:
        return None if entry else Unknown("OVMS does not list it")
    said = f": {evidence.log.last_error}" if evidence.log.last_error else ""
    found = f"OVMS could not load it: {entry.state}, {entry.error_code}{said}"
    return switching(evidence) or Trouble(found, "AVAILABLE", f"{_again(active)}; ovms-node verify")


def _loaded(evidence: Evidence, active: Deployment, seen: ServerEvidence) -> Verdict:
    entry = seen.servables.get(active.servable)
    if entry is None or entry.available:
        return None if entry else Unknown("OVMS does not list it")
    why = switching(evidence) or young(evidence)
    return why or Trouble(f"it is {entry.state}, {entry.error_code}", "AVAILABLE, OK", _again(active))


def _listed(evidence: Evidence, active: Deployment, seen: ServerEvidence) -> Verdict:
    if active.servable in seen.models:
        return None
    why = switching(evidence) or young(evidence)
    found = f"GET /v3/models lists {some(seen.models) or 'nothing'}"
    return why or Trouble(found, active.servable, _again(active))


def _device(evidence: Evidence) -> Verdict:
    active, devices = evidence.active, evidence.log.devices
    if active is None or evidence.engine.error or evidence.container is None:
        return Unknown("no container whose log says it")
    wanted = str(active.settings.get("device"))
    if any(device == wanted or device.startswith(f"{wanted}.") for device in devices):
        return None
    if not devices:
        return Unknown("the log does not say it any more")
    fix = f"ovms-node facts; docker logs {container_name(active.slot)} | grep -i -e device -e opencl"
    return Trouble(f"OVMS sees {', '.join(devices)}", wanted, fix)


def _gpu_errors(evidence: Evidence) -> Verdict:
    if not evidence.log.gpu_errors:
        return None
    fix = "lower ovms_server_cache_size or max_num_seqs in ovms_server_graph, then run site.yml"
    return Trouble(f"OVMS logged: {evidence.log.gpu_errors[-1]}", "no error of the GPU", fix)


def _reload(evidence: Evidence) -> Verdict:
    seen, model, active = evidence.container, evidence.model, evidence.active
    if seen is None or model is None or active is None or seen["State"]["Status"] != "running":
        return Unknown("no OVMS runs that could have loaded it")
    started = seconds_of(str(seen["State"]["StartedAt"]))
    if started is None or model.changed <= started + _TICK_SECONDS:
        return None
    found = "config.json or graph.pbtxt was written after OVMS had read it"
    return switching(evidence) or Trouble(found, "OVMS runs with what is there", _again(active))


def _gate(evidence: Evidence) -> Verdict:
    gate, active = evidence.gate, evidence.active
    if gate and active and gate.get("release") not in (None, active.release):
        return Unknown("the last gate was that of another release, which is not active")
    if gate is None or gate.get("ok") is not False:
        return None if gate else Unknown("no gate was asked yet")
    found = f"the gate said no at {gate.get('at')}: {gate.get('reason')}"
    return switching(evidence) or Trouble(
        found, "answers as they should be", f"ovms-node verify || {activate(evidence)}"
    )


def _again(active: Deployment) -> str:
    """Return what starts OVMS again; the gateway holds new requests meanwhile."""
    return f"docker restart {container_name(active.slot)}"


_RUNS = ("container.running", "config.drift", "graph.drift", "model.damaged", "model.permissions")
CHECKS = (
    Check(
        "server.answers",
        "error",
        "GET /v1/config of OVMS",
        _answers,
        ("container.running", "gateway.settings", "engine.network", "state.pending"),
    ),
    Check(
        "server.servable",
        "error",
        "the servable's name there",
        _of_server(_servable),
        ("server.answers", *_RUNS),
    ),
    Check(
        "server.load",
        "error",
        "did its load fail",
        _of_server(_load),
        ("server.servable", "container.device", "container.render-gid", "gpu.wedged"),
    ),
    Check("server.loaded", "error", "is it AVAILABLE", _of_server(_loaded), ("server.load",)),
    Check("server.listed", "error", "GET /v3/models", _of_server(_listed), ("server.loaded",)),
    Check(
        "server.device",
        "error",
        "the devices that OVMS logged",
        _device,
        ("container.running", "container.device", "container.render-gid", "gpu.render-mode"),
    ),
    Check(
        "server.gpu-errors",
        "warning",
        "its log: memory and hangs of the GPU",
        _gpu_errors,
        ("gpu.hang", "graph.cache", "server.load"),
    ),
    Check(
        "server.reload",
        "error",
        "files written after OVMS had read them",
        _reload,
        ("config.drift", "graph.drift", "container.running"),
    ),
    Check(
        "server.gate",
        "error",
        "what the last gate said",
        _gate,
        ("server.listed", "server.device", "container.running"),
    ),
)
