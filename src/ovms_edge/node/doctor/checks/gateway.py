"""The gateway: settings, unit, port, files, route, certificate, and the name that applications call."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from ovms_edge.errors import EdgeError
from ovms_edge.node.alias import CONTAINER as ALIAS_CONTAINER
from ovms_edge.node.doctor.checks.container import young
from ovms_edge.node.doctor.checks.engine import enabled
from ovms_edge.node.doctor.checks.words import DAY_SECONDS, PREPARE, TEND, playbook, switching
from ovms_edge.node.doctor.collect_host import GATEWAY_UNIT
from ovms_edge.node.doctor.evidence import Evidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict
from ovms_edge.node.gateway import Gateway

# What the role renews by itself is 30 days from its end.
LEAST_CERTIFICATE_DAYS = 14
_RUNS = ("active", "reloading")
_RESTART = f"systemctl restart {GATEWAY_UNIT}"


def _settings(evidence: Evidence) -> Verdict:
    if not isinstance(evidence.gateway, EdgeError):
        return None
    return Trouble(
        evidence.gateway.reason, "the settings that the role ovms_gateway writes", playbook(PREPARE)
    )


def _of_gateway(look: Callable[[Evidence, Gateway], Verdict]) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        gateway = evidence.gateway
        return Unknown("no gateway") if isinstance(gateway, EdgeError) else look(evidence, gateway)

    return check


def _port(evidence: Evidence, gateway: Gateway) -> Verdict:
    holder = evidence.gateway_evidence.holder
    if holder is None or _is_active(evidence):
        return None
    process, end = holder
    port = urlsplit(gateway.url).port
    return Trouble(f"port {port} is held by {process}", "free for the gateway", f"{end}; {_RESTART}")


def _running(evidence: Evidence, _gateway: Gateway) -> Verdict:
    if evidence.units is None:
        return Unknown("systemd does not answer")
    if _is_active(evidence):
        return None
    state = evidence.units.active(GATEWAY_UNIT)
    fix = f"{_RESTART} || journalctl -u {GATEWAY_UNIT} -n 20"
    return Trouble(f"{GATEWAY_UNIT} is {state}", "active", fix)


def _is_active(evidence: Evidence) -> bool:
    return evidence.units is not None and evidence.units.active(GATEWAY_UNIT) in _RUNS


def _answers(evidence: Evidence, _gateway: Gateway) -> Verdict:
    error = evidence.answer.error
    return Trouble(error.reason, "an answer to GET /health", _RESTART) if error else None


def _files(evidence: Evidence, _gateway: Gateway) -> Verdict:
    seen = evidence.gateway_evidence
    directory = evidence.places.gateway_directory
    if seen.written_config is None:
        return Trouble(
            f"no configuration of ours in {directory}", "what the role rendered", playbook(PREPARE)
        )
    if seen.intact is None:
        return Unknown("its certificate's text as the inventory has it is not known here")
    if seen.intact:
        return None
    found = f"haproxy.cfg or gateway.lua in {directory} was changed since it was rendered"
    return Trouble(found, "what the role rendered", playbook(PREPARE))


def _reload(evidence: Evidence, _gateway: Gateway) -> Verdict:
    seen = evidence.gateway_evidence
    if evidence.answer.error or seen.written_config is None:
        return Unknown("it does not answer")
    if evidence.answer.config == seen.written_config:
        return None
    found = f"the gateway runs with configuration {evidence.answer.config}, the file is {seen.written_config}"
    return Trouble(found, "the same", f"systemctl reload {GATEWAY_UNIT}")


def _route(evidence: Evidence, _gateway: Gateway) -> Verdict:
    active, seen = evidence.active, evidence.answer
    if active is None or seen.error:
        return Unknown("nothing to route to" if active is None else "it does not answer")
    if seen.said == active.slot:
        return None
    why = switching(evidence) or young(evidence)
    if why:
        return why
    does = "holds every request" if seen.said == "hold" else f"says {seen.said!r}"
    return Trouble(f"the gateway {does}", f"requests go to slot {active.slot}", TEND)


def _certificate(evidence: Evidence, _gateway: Gateway) -> Verdict:
    ends = evidence.gateway_evidence.certificate_ends
    if ends is None:
        return Unknown("no certificate")
    days = (ends - evidence.now) / DAY_SECONDS
    return None if days > 0 else Trouble(f"it ended {-days:.0f} days ago", "a valid one", playbook(PREPARE))


def _certificate_age(evidence: Evidence, _gateway: Gateway) -> Verdict:
    ends = evidence.gateway_evidence.certificate_ends
    if ends is None:
        return Unknown("no certificate")
    days = (ends - evidence.now) / DAY_SECONDS
    if days >= LEAST_CERTIFICATE_DAYS:
        return None
    return Trouble(f"it ends in {days:.0f} days", f"{LEAST_CERTIFICATE_DAYS} or more", playbook(PREPARE))


def _alias(evidence: Evidence, gateway: Gateway) -> Verdict:
    if gateway.apps is None or evidence.active is None:
        return Unknown("no network for applications, or nothing to serve there")
    if evidence.engine.error:
        return Unknown("Docker Engine does not answer")
    seen = evidence.engine.containers.get(ALIAS_CONTAINER)
    state = seen["State"]["Status"] if seen else "not there"
    if state == "running":
        return None
    found = f"container {ALIAS_CONTAINER} is {state}: applications do not find {gateway.apps.alias}"
    return Trouble(found, "running", TEND)


SETTINGS = Check("gateway.settings", "error", "/etc/ovms-edge/gateway.json", _settings, ("node.set-up",))
CHECKS = (
    Check("gateway.port", "error", "who else listens at its port", _of_gateway(_port), ("gateway.settings",)),
    Check("gateway.running", "error", "its unit", _of_gateway(_running), ("gateway.port",)),
    Check(
        "gateway.enabled",
        "error",
        "does it start with the host",
        enabled(GATEWAY_UNIT),
        ("gateway.settings",),
    ),
    Check("gateway.answers", "error", "GET /health", _of_gateway(_answers), ("gateway.running",)),
    Check(
        "gateway.files",
        "error",
        "haproxy.cfg and gateway.lua as rendered",
        _of_gateway(_files),
        ("gateway.settings",),
    ),
    Check(
        "gateway.reload",
        "error",
        "does it run with the file's configuration",
        _of_gateway(_reload),
        ("gateway.files", "gateway.answers"),
    ),
    Check(
        "gateway.certificate",
        "error",
        "end of its certificate",
        _of_gateway(_certificate),
        ("gateway.settings",),
    ),
    Check(
        "gateway.certificate-age",
        "warning",
        "days until that",
        _of_gateway(_certificate_age),
        ("gateway.certificate",),
    ),
    Check(
        "gateway.alias",
        "error",
        "the name that applications in containers call",
        _of_gateway(_alias),
        ("engine.running", "gateway.settings", "state.active"),
    ),
)
ROUTE = Check(
    "gateway.route",
    "error",
    "where requests go",
    _of_gateway(_route),
    ("gateway.answers", "state.pending", "server.loaded"),
)
