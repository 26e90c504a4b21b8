"""Docker Engine and the network of OVMS."""

from __future__ import annotations

from collections.abc import Callable

from ovms_edge.errors import EdgeError
from ovms_edge.node.doctor.checks.words import PREPARE, playbook
from ovms_edge.node.doctor.collect_host import DOCKER_UNIT
from ovms_edge.node.doctor.evidence import Evidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict
from ovms_edge.node.gateway import Gateway


def _installed(evidence: Evidence) -> Verdict:
    if evidence.engine.installed:
        return None
    return Trouble("no dockerd on this host", "Docker Engine 20.10 or later", playbook(PREPARE))


def _running(evidence: Evidence) -> Verdict:
    error = evidence.engine.error
    if error is None:
        return None
    state = evidence.units.active(DOCKER_UNIT) if evidence.units else "unknown"
    return Trouble(
        f"{error.reason} ({DOCKER_UNIT} is {state})",
        "an engine that answers",
        "systemctl restart docker.service",
    )


def _live_restore(evidence: Evidence) -> Verdict:
    if evidence.engine.live_restore:
        return None
    fix = f"{playbook(PREPARE)} # writes {evidence.places.docker_config}"
    return Trouble("live-restore is off: an engine that ends takes OVMS with it", "on", fix)


def _network(evidence: Evidence) -> Verdict:
    gateway, found = evidence.gateway, evidence.engine.network
    if isinstance(gateway, EdgeError):
        return Unknown("no gateway that says which")
    if found is None:
        return Trouble(f"no Docker network {gateway.network}", "an internal one for OVMS", _remake(gateway))
    if not found.get("Internal"):
        return Trouble(
            f"{gateway.network} lets containers out, and OVMS fetches any URL", "internal", _remake(gateway)
        )
    subnets = [str(entry.get("Subnet")) for entry in (found.get("IPAM") or {}).get("Config") or ()]
    if gateway.subnet in subnets:
        return None
    return Trouble(
        f"{gateway.network} has {', '.join(subnets) or 'no subnet'}", gateway.subnet, _remake(gateway)
    )


def _remake(gateway: Gateway) -> str:
    name = gateway.network
    activation = playbook("playbooks/activate_release.yml")
    return f"docker rm -f ovms-vlm-a ovms-vlm-b; docker network rm {name}; {activation}"


def enabled(unit: str) -> Callable[[Evidence], Verdict]:
    """Return a check that ``unit`` starts with the host."""

    def look(evidence: Evidence) -> Verdict:
        if evidence.units is None:
            return Unknown("systemd does not answer")
        state = evidence.units.file_state(unit)
        if state == "enabled":
            return None
        return Trouble(
            f"{unit} is {state or 'not there'}", "enabled: started with the host", f"systemctl enable {unit}"
        )

    return look


CHECKS = (
    Check("engine.installed", "error", "dockerd", _installed, ("node.set-up",)),
    Check("engine.running", "error", "does Docker Engine answer", _running, ("engine.installed",)),
    Check(
        "engine.enabled", "error", "does it start with the host", enabled(DOCKER_UNIT), ("engine.installed",)
    ),
    Check("engine.live-restore", "warning", "do containers outlive it", _live_restore, ("engine.running",)),
    Check(
        "engine.network",
        "error",
        "the network of OVMS",
        _network,
        ("engine.running", "gateway.settings", "state.active"),
    ),
)
