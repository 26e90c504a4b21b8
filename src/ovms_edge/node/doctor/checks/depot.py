"""The depot and its mirrors: name, connection, certificate, password."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from ovms_edge.errors import EdgeError
from ovms_edge.node.doctor.checks.words import DAY_SECONDS, PREPARE, playbook
from ovms_edge.node.doctor.evidence import DepotEvidence, Evidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict

LEAST_CERTIFICATE_DAYS = 21
_STEPS = ("ca", "resolve", "connect", "certificate", "answer", "done")
_NO_ANSWER = "no answer in time"


def _of_depot(look: Callable[[Evidence, DepotEvidence], Verdict]) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        seen = evidence.depot
        if seen is None:
            return Unknown("no settings that say where it is")
        if seen.proxied:
            return Unknown("it is asked through a proxy: see ovms-node stage NAME@VERSION --plan")
        return look(evidence, seen)

    return check


def _ended_at(step: str, expected: str, fix: Callable[[DepotEvidence], str]) -> Callable[[Evidence], Verdict]:
    """Return a check that the question came beyond ``step``."""

    def look(_evidence: Evidence, seen: DepotEvidence) -> Verdict:
        if seen.step == step:
            found = f"{urlsplit(seen.url).netloc}: {seen.fault or _NO_ANSWER}"
            return Trouble(found, expected, fix(seen))
        return None if _STEPS.index(seen.step) > _STEPS.index(step) else Unknown("it was not asked")

    return _of_depot(look)


def _host(seen: DepotEvidence) -> str:
    return urlsplit(seen.url).hostname or ""


def _login(_evidence: Evidence, seen: DepotEvidence) -> Verdict:
    if seen.status is None:
        return Unknown("it was not asked")
    if seen.status == 401 and seen.challenge == "bearer":
        return Unknown("it wants a token, which is fetched for each repository")
    if seen.status not in (401, 403):
        return None
    found = f"{urlsplit(seen.url).netloc} answers {seen.status} to the password that is here"
    return Trouble(
        found, "user and password that it takes", f"{playbook(PREPARE)} # docker_engine_registries"
    )


def _status(_evidence: Evidence, seen: DepotEvidence) -> Verdict:
    if seen.status is None or seen.status < 500:
        return None if seen.status else Unknown("it was not asked")
    return Trouble(f"{urlsplit(seen.url).netloc} answers {seen.status}", "200", f"curl -sI {seen.url}/v2/")


def _certificate_age(evidence: Evidence, seen: DepotEvidence) -> Verdict:
    if seen.certificate_ends is None:
        return Unknown("no certificate was seen")
    days = (seen.certificate_ends - evidence.now) / DAY_SECONDS
    if days >= LEAST_CERTIFICATE_DAYS:
        return None
    return Trouble(
        f"its certificate ends in {days:.0f} days", f"{LEAST_CERTIFICATE_DAYS} or more", _renew(seen)
    )


def _mirrors(evidence: Evidence) -> Verdict:
    if isinstance(evidence.config, EdgeError) or not evidence.mirrors:
        return Unknown("there are no mirrors")
    bad = [seen for seen in evidence.mirrors if seen.step != "done" or (seen.status or 0) >= 500]
    if not bad:
        return None
    first = bad[0]
    why, count = first.fault or first.status or _NO_ANSWER, f"{len(bad)} of {len(evidence.mirrors)}"
    found = f"{first.url}: {why} ({count} mirrors)"
    return Trouble(found, "an answer: what it has comes from the depot else", f"curl -sI {first.url}/v2/")


def _ca_fix(_seen: DepotEvidence) -> str:
    return f"{playbook(PREPARE)} # node_agent_depot_ca"


def _certificate_fix(seen: DepotEvidence) -> str:
    return _renew(seen) if "expired" in seen.fault else _ca_fix(seen)


def _renew(seen: DepotEvidence) -> str:
    address = urlsplit(seen.url).netloc
    return (
        f"renew it at the depot; openssl s_client -connect {address} </dev/null | openssl x509 -noout -dates"
    )


def _dns_fix(seen: DepotEvidence) -> str:
    return f"getent hosts {_host(seen)}; cat /etc/resolv.conf; systemctl restart systemd-resolved networking"


def _connect_fix(seen: DepotEvidence) -> str:
    return f"ip route get $(getent ahostsv4 {_host(seen)} | awk 'NR==1 {{print $1}}'); curl -v {seen.url}/v2/"


def _answer_fix(seen: DepotEvidence) -> str:
    return f"curl -v {seen.url}/v2/ # and see the registry's log"


_answer = _ended_at("answer", "an answer to GET /v2/", _answer_fix)


def _answers(evidence: Evidence) -> Verdict:
    return _answer(evidence) or _of_depot(_status)(evidence)


CHECKS = (
    Check(
        "depot.ca",
        "error",
        "the depot's CA file",
        _ended_at("ca", "a readable PEM file", _ca_fix),
        ("node.config",),
    ),
    Check(
        "host.dns", "error", "the depot's name", _ended_at("resolve", "an address", _dns_fix), ("depot.ca",)
    ),
    Check(
        "depot.connect",
        "error",
        "a connection to the depot",
        _ended_at("connect", "a connection", _connect_fix),
        ("host.dns",),
    ),
    Check(
        "depot.certificate",
        "error",
        "its certificate against the CA",
        _ended_at("certificate", "one that node_agent_depot_ca signed, valid today", _certificate_fix),
        ("depot.connect", "host.clock"),
    ),
    Check(
        "depot.certificate-age",
        "warning",
        "days until it ends",
        _of_depot(_certificate_age),
        ("depot.certificate",),
    ),
    Check("depot.answer", "error", "GET /v2/", _answers, ("depot.certificate",)),
    Check("depot.login", "error", "does it take our password", _of_depot(_login), ("depot.answer",)),
    Check("depot.mirror", "warning", "its mirrors", _mirrors, ("node.config", "host.dns")),
)
