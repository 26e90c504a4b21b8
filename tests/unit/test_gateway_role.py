"""What role ``ovms_gateway`` refuses, and wants of a host: from its inputs, and what was found there."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import yaml

from ansible_collections.ovms.edge.plugins.plugin_utils import _gateway_plan as plan
from ansible_collections.ovms.edge.plugins.plugin_utils._role_inputs import ROLES, problems_of, spec_of, typed

ALL = "0.0.0.0"  # noqa: S104 - what is written, nothing is bound
KEY = "a-key-that-is-long-enough"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"
ADDRESS = "192.0.2.11"
NAMES = f"DNS:store-001,DNS:localhost,IP:127.0.0.1,IP:{ADDRESS}"
FOUND: dict[str, Any] = {
    "hostname": "store-001",
    "os": {"id": "debian", "name": "Debian GNU/Linux 12 (bookworm)"},
    "haproxy": "2.6.12",
    "openssl": True,
    "overlaps": [],
    "taken": [],
    "certificate": {"generated_for": None, "due": True},
    "unit": {"active": True, "enabled": True},
    "current": True,
}
SPEC = spec_of(plan.ROLE)


def keys(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"api_keys": [{"name": name, "key": key} for name, key in pairs]}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "open": ({"bind_address": ALL}, "beyond the host, without TLS and keys; set ovms_gateway_tls and"),
    "open-tls": ({"bind_address": "192.0.2.1", "tls": True}, "beyond the host, without TLS and keys"),
    "open-keys": ({"bind_address": "::", **keys(("a", KEY))}, "beyond the host, without TLS and keys"),
    "address": (
        {"bind_address": "localhost", "allow_plain": True},
        "ovms_gateway_bind_address is localhost; write an address",
    ),
    "port": ({"port": 70000}, "ovms_gateway_port is 70000; write a port"),
    "port-text": ({"port": "http"}, "ovms_gateway_port is http; write a port"),
    "half": ({"tls": True, "certificate": CERTIFICATE}, "only one of ovms_gateway_certificate and"),
    "no-tls": ({"certificate": CERTIFICATE, "key": PRIVATE_KEY}, "ovms_gateway_tls is not; set it to true"),
    "pem": ({"tls": True, "certificate": "x", "key": PRIVATE_KEY}, "certificate is no PEM certificate"),
    "pem-key": ({"tls": True, "certificate": CERTIFICATE, "key": "x"}, "ovms_gateway_key is no PEM key"),
    "body": ({"max_body": "32M"}, "ovms_gateway_max_body is 32M; write a number and k, m or g"),
    "none": ({"concurrency": 0}, "ovms_gateway_concurrency is no whole number from 1"),
    "queue": ({"queue": 1000}, "ovms_gateway_queue is 1000; write 0 to 500"),
    "together": ({"queue": 400, "concurrency": 200}, "ovms_gateway_queue is 400; write 0 to 500, together"),
    "metrics": ({"metrics_address": "8405"}, "ovms_gateway_metrics_address is 8405; write ADDRESS:PORT"),
    "subnet": ({"subnet": "172.31.253.1/29"}, "ovms_gateway_subnet is 172.31.253.1/29; write the first"),
    "small": ({"subnet": "172.31.253.0/30"}, "/16 to /29"),
    "octet": ({"subnet": "172.31.256.0/29"}, "ovms_gateway_subnet is 172.31.256.0/29"),
    "mask": ({"subnet": "172.31.253.0/255.255.255.0"}, "ovms_gateway_subnet is 172.31.253.0/255"),
    "alias": ({"alias": "Big Name"}, "ovms_gateway_alias is Big Name; write a host name"),
    "network": ({"apps_network": "ovms-edge-server"}, "other than that of OVMS itself"),
    "short": (keys(("till-1", "short")), "the key of till-1 in ovms_gateway_api_keys is shorter than 20"),
    "space": (keys(("till-1", KEY + " x")), "the key of till-1"),
    "name": (keys(("till 1", KEY)), "ovms_gateway_api_keys has the name `till 1`; write letters"),
    "twice": (keys(("a", KEY), ("a", KEY + "2")), "has the name a more than once"),
    "same": (keys(("a", KEY), ("b", KEY)), "two names in ovms_gateway_api_keys have the same key"),
    "text": ({"api_keys": KEY}, "ovms_gateway_api_keys"),
    "no-key": ({"api_keys": [{"name": "till-1"}]}, "missing required arguments: key"),
    "unknown": ({"prot": 1}, "ovms_gateway_prot is not an input of role ovms_gateway"),
    "type": ({"secure_logging": "perhaps"}, "ovms_gateway_secure_logging"),
}
FULL = {
    "bind_address": ALL,
    "tls": True,
    "concurrency": 2,
    "queue": 3,
    "max_body": "1g",
    "timeout_seconds": 300,
    "subnet": "10.9.8.16/28",
    "alias": "",
    "metrics_address": "",
    **keys(("till-1", KEY), ("till-2", KEY + "/+=")),
}
GIVEN = {"tls": True, "certificate": CERTIFICATE, "key": PRIVATE_KEY}
TAKEN: list[dict[str, Any]] = [{}, FULL, GIVEN, {"bind_address": "::1"}, {"port": "8003"}]


def problems(inputs: dict[str, Any]) -> list[str]:
    return problems_of(plan.ROLE, SPEC, {f"{plan.ROLE}_{key}": value for key, value in inputs.items()})


def gateway(**inputs: Any) -> plan.Gateway:
    assert problems(inputs) == []
    return plan.Gateway.of(typed(SPEC, {f"{plan.ROLE}_{key}": value for key, value in inputs.items()}))


def content(wanted: plan.Gateway, name: str) -> str:
    entries = wanted.files() + wanted.secret_files()
    (found,) = [entry["content"] for entry in entries if entry["path"].endswith("/" + name)]
    return str(found)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_with_the_fix_and_without_a_secret(case: str) -> None:
    inputs, said = REFUSED[case]
    lines = problems(inputs)
    assert said in "\n".join(lines)
    assert KEY not in "\n".join(lines)
    assert len(lines) == (2 if case == "text" else 1)


def test_by_default_it_listens_for_the_host_alone_with_no_keys() -> None:
    wanted = gateway()
    config = content(wanted, "haproxy.cfg")
    assert "    bind 127.0.0.1:8002\n" in config
    assert "lua.gateway_authorize" not in config
    assert "be_conn(ovms) ge 20" in config
    assert "gt 33554432" in config
    assert wanted.secret_files() == []
    assert content(wanted, "keys") == ""
    assert json.loads(content(wanted, "gateway.json")) == {
        "schema": 1,
        "url": "http://127.0.0.1:8002",
        "ca_file": None,
        "network": "ovms-edge-server",
        "subnet": "172.31.253.0/29",
        "slots": {"a": "172.31.253.2", "b": "172.31.253.3"},
        "route_file": "/run/ovms-edge-gateway/route",
        "apps": {
            "network": "ovms-edge",
            "alias": "ovms-vlm",
            "socket": "/run/ovms-edge-gateway/apps/http.sock",
        },
    }


def test_every_input_reaches_the_configuration() -> None:
    wanted = gateway(**FULL)
    config = content(wanted, "haproxy.cfg")
    assert "    bind 0.0.0.0:8002 ssl crt /etc/ovms-edge/gateway/tls.pem alpn http/1.1\n" in config
    assert [f"timeout {name} 300s" in config for name in ("client", "server", "queue", "check")] == [True] * 4
    assert "be_conn(ovms) ge 5" in config
    assert "gt 1073741824" in config
    assert "maxconn 2 check" in config
    assert "server b 10.9.8.19:8000 track ovms/b" in config
    assert "prometheus" not in config
    assert wanted.binds == ["0.0.0.0:8002"]
    settings = json.loads(content(wanted, "gateway.json"))
    assert (settings["url"], settings["apps"]) == ("https://127.0.0.1:8002", None)
    assert settings["ca_file"] == "/etc/ovms-edge/gateway/certificate.pem"
    assert settings["slots"] == {"a": "10.9.8.18", "b": "10.9.8.19"}


def test_a_number_that_came_as_text_is_a_number() -> None:
    assert gateway(port="8003", concurrency="2", queue="3").binds == ["127.0.0.1:8003", "127.0.0.1:8405"]


def test_keys_go_by_their_digests() -> None:
    wanted = gateway(**FULL)
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in (KEY, KEY + "/+=")]
    assert content(wanted, "keys").splitlines() == [f"{digests[0]} till-1", f"{digests[1]} till-2"]
    assert KEY not in json.dumps([wanted.files(), wanted.secret_files()])


def test_a_given_certificate_is_tried_with_its_key() -> None:
    wanted = gateway(**GIVEN)
    (pem,) = wanted.secret_files()
    assert pem["content"] == f"{CERTIFICATE}\n{PRIVATE_KEY}\n"
    assert (pem["mode"], pem["validate"][0]) == ("0600", "python3")
    assert "PRIVATE KEY" not in json.dumps(wanted.files())
    assert content(wanted, "certificate.pem") == f"{CERTIFICATE}\n"
    assert json.loads(content(wanted, "gateway.json"))["ca_file"] is None


def test_what_is_secret_is_left_out_of_diffs_and_the_configuration_is_tried() -> None:
    wanted = gateway(**GIVEN, **keys(("a", KEY)))
    assert [file["secret"] for file in wanted.secret_files()] == [True, True]
    tried = {file["path"]: file["validate"] for file in wanted.files() if "validate" in file}
    assert tried == {plan.CONFIG: ["/usr/sbin/haproxy", "-c", "-q", "-f", "%s"]}


def test_an_address_of_ipv6_is_written_in_brackets() -> None:
    wanted = gateway(bind_address="::1")
    assert "    bind [::1]:8002\n" in content(wanted, "haproxy.cfg")
    assert (wanted.url, gateway(bind_address="::", allow_plain=True).url) == ("http://[::1]:8002",) * 2


def test_another_configuration_has_another_digest() -> None:
    def digest(wanted: plan.Gateway) -> str:
        (line,) = [text for text in content(wanted, "haproxy.cfg").splitlines() if "GATEWAY_CONFIG" in text]
        return line.split()[-1]

    digests = {digest(gateway(**inputs)) for inputs in TAKEN}
    assert len(digests) == len(TAKEN)
    assert all(len(found) == 16 for found in digests)
    renewed = gateway(**{**GIVEN, "key": PRIVATE_KEY.replace("x", "y")})
    assert digest(renewed) != digest(gateway(**GIVEN))


@pytest.mark.parametrize(
    ("inputs", "certificate", "generated"),
    [
        (FULL, {"generated_for": None, "due": True}, True),
        (FULL, {"generated_for": NAMES, "due": False}, False),
        (FULL, {"generated_for": NAMES, "due": True}, True),
        (FULL, {"generated_for": "DNS:store-000", "due": False}, True),
        ({}, {"generated_for": None, "due": True}, False),
        (GIVEN, {"generated_for": None, "due": True}, False),
    ],
)
def test_a_certificate_is_generated_where_none_is_given_and_that_which_is_there_will_not_do(
    inputs: dict[str, Any], certificate: dict[str, Any], generated: bool
) -> None:
    found = {**FOUND, "certificate": certificate}
    assert (plan.generation(gateway(**inputs), found, ADDRESS) is not None) == generated


@pytest.mark.parametrize(
    ("bind_address", "address", "more"),
    [
        (ALL, ADDRESS, [f"IP:{ADDRESS}"]),
        (ADDRESS, ADDRESS, [f"IP:{ADDRESS}"]),
        ("192.0.2.1", "store.example", ["DNS:store.example", "IP:192.0.2.1"]),
        ("::", "2001:db8::1", ["IP:2001:db8::1"]),
        ("127.0.0.1", "", []),
    ],
)
def test_it_is_generated_for_every_name_of_the_host(bind_address: str, address: str, more: list[str]) -> None:
    wanted = gateway(tls=True, bind_address=bind_address, allow_plain=True)
    generation = plan.generation(wanted, FOUND, address)
    names = ",".join(["DNS:store-001", "DNS:localhost", "IP:127.0.0.1", *more])
    assert generation is not None
    assert generation["names"] == names
    assert "CN = store-001\n" in generation["config"]
    assert f"subjectAltName = {names}\n" in generation["config"]


OTHER_OS = {"id": "fedora", "name": "Fedora Linux 43"}
BARE = {"haproxy": None, "openssl": False}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, None),
        (BARE, None),
        ({"os": OTHER_OS}, None),
        ({"overlaps": ["172.31.0.0/16 dev tun0"]}, "this host has a route to 172.31.0.0/16 dev tun0; choose"),
        (
            {"taken": ["0.0.0.0:8002 (nginx, pid 7)"]},
            "another process listens at 0.0.0.0:8002 (nginx, pid 7)",
        ),
        ({**BARE, "os": OTHER_OS}, "no haproxy and openssl on Fedora Linux 43, and this role installs on"),
        ({"haproxy": "1.8.8"}, "the HAProxy of this host is 1.8.8; install 2.4 or later"),
        ({"haproxy": "2.10.1"}, None),
    ],
)
def test_what_stands_in_the_way_on_a_host_is_said(found: dict[str, Any], said: str | None) -> None:
    lines = plan.obstacles(gateway(**FULL), {**FOUND, **found})
    assert len(lines) == (0 if said is None else 1)
    assert (said or "") in "".join(lines)


def test_openssl_is_needed_to_generate_a_certificate_only() -> None:
    found = {**FOUND, **BARE}
    assert plan.lacking(gateway(**FULL), found) == ["haproxy", "openssl"]
    assert plan.lacking(gateway(**GIVEN), found) == ["haproxy"]
    assert plan.lacking(gateway(**FULL), FOUND) == []


@pytest.mark.parametrize(
    "found",
    [
        {"current": False},
        {"unit": {"active": False, "enabled": True}},
        {"unit": {"active": True, "enabled": False}},
    ],
)
def test_a_gateway_that_does_not_run_as_it_should_has_to_be_told(found: dict[str, Any]) -> None:
    assert plan.is_run(FOUND)
    assert not plan.is_run({**FOUND, **found})


def test_the_role_and_its_plan_mean_the_same_unit_and_configuration() -> None:
    constants = yaml.safe_load((ROLES / plan.ROLE / "vars/main.yml").read_text())
    assert constants["__ovms_gateway_unit"] == plan.UNIT
    assert constants["__ovms_gateway_config"] == plan.CONFIG
    assert f"cd {plan.DIRECTORY}\n" in constants["__ovms_gateway_generate"]
