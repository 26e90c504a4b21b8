"""What role ``ovms_gateway`` refuses and renders: one run of Ansible, a host a case, nothing connected to."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALL = "0.0.0.0"  # noqa: S104 - what is written, nothing is bound
KEY = "a-key-that-is-long-enough"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"
FOUND = {
    "hostname": "store-001",
    "address": "192.0.2.11",
    "haproxy": "2.6.12",
    "openssl": True,
    "overlaps": [],
    "certificate": {"generated_for": None, "due": True},
    "unit": {"active": False, "enabled": False},
    "current": False,
}


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
    "half": ({"tls": True, "certificate": CERTIFICATE}, "only one of ovms_gateway_certificate and"),
    "no-tls": ({"certificate": CERTIFICATE, "key": PRIVATE_KEY}, "ovms_gateway_tls is not; set it to true"),
    "pem": ({"tls": True, "certificate": "x", "key": PRIVATE_KEY}, "certificate is no PEM certificate"),
    "pem-key": ({"tls": True, "certificate": CERTIFICATE, "key": "x"}, "ovms_gateway_key is no PEM key"),
    "body": ({"max_body": "32M"}, "ovms_gateway_max_body is 32M; write a number and k, m or g"),
    "none": ({"concurrency": 0}, "ovms_gateway_concurrency is no whole number from 1"),
    "queue": ({"queue": 1000}, "ovms_gateway_queue is 1000; write 0 to 500"),
    "metrics": ({"metrics_address": "8405"}, "ovms_gateway_metrics_address is 8405; write ADDRESS:PORT"),
    "subnet": ({"subnet": "172.31.253.1/29"}, "ovms_gateway_subnet is 172.31.253.1/29; write the first"),
    "small": ({"subnet": "172.31.253.0/30"}, "/16 to /29"),
    "octet": ({"subnet": "172.31.256.0/29"}, "ovms_gateway_subnet is 172.31.256.0/29"),
    "alias": ({"alias": "Big Name"}, "ovms_gateway_alias is Big Name; write a host name"),
    "network": ({"apps_network": "ovms-edge-server"}, "other than that of OVMS itself"),
    "short": (keys(("till-1", "short")), "the key of till-1 in ovms_gateway_api_keys is shorter than 20"),
    "space": (keys(("till-1", KEY + " x")), "the key of till-1"),
    "name": (keys(("till 1", KEY)), "ovms_gateway_api_keys has the name `till 1`; write letters"),
    "twice": (keys(("a", KEY), ("a", KEY + "2")), "has the name a more than once"),
    "same": (keys(("a", KEY), ("b", KEY)), "two names in ovms_gateway_api_keys have the same key"),
    "unknown": ({"prot": 1}, "ovms_gateway_prot is not an input of role ovms_gateway"),
}
TAKEN: dict[str, dict[str, Any]] = {
    "default": {},
    "full": {
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
    },
    "given": {"tls": True, "certificate": CERTIFICATE, "key": PRIVATE_KEY},
    "v6": {"bind_address": "::1"},
}
PLAY = """---
# One host a case.
- name: Check and render
  hosts: all
  gather_facts: false
  connection: local
  tasks:
    - name: Check
      ansible.builtin.import_role:
        name: ovms.edge.ovms_gateway
        tasks_from: assert.yml
    - name: Render
      ansible.builtin.debug:
        msg:
          files: "{{ __ovms_gateway_files }}"
          secret: "{{ __ovms_gateway_secret_files }}"
          names: "{{ __ovms_gateway_names }}"
          generate: "{{ __ovms_gateway_generate_now }}"
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the last task of each case's host said."""
    directory = tmp_path_factory.mktemp("role")
    cases = {f"refused-{name}": inputs for name, (inputs, _) in REFUSED.items()} | TAKEN
    hosts = {
        name: {f"ovms_gateway_{key}": value for key, value in inputs.items()}
        for name, inputs in cases.items()
    }
    common = {"__ovms_gateway_host": FOUND, "role_path": str(ROOT / "roles/ovms_gateway")}
    (directory / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (directory / "play.yml").write_text(PLAY)
    ansible = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [ansible, "-i", directory / "hosts.json", directory / "play.yml", "-e", json.dumps(common)],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_FORKS": "4"},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        tasks = json.loads(done.stdout)["plays"][0]["tasks"]
    except ValueError as error:
        raise AssertionError(done.stdout + done.stderr) from error
    return {host: result.get("msg", "") for task in tasks for host, result in task["hosts"].items()}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_with_the_fix_and_without_a_secret(
    said: dict[str, Any], case: str
) -> None:
    text = said[f"refused-{case}"]
    assert REFUSED[case][1] in text
    assert KEY not in text
    assert len(text.splitlines()) == 1


def content(said: dict[str, Any], case: str, name: str) -> str:
    entries = said[case]["files"] + said[case]["secret"]
    (found,) = [entry["content"] for entry in entries if entry["path"].endswith("/" + name)]
    return str(found)


def test_by_default_it_listens_for_the_host_alone_with_no_keys(said: dict[str, Any]) -> None:
    config = content(said, "default", "haproxy.cfg")
    assert "    bind 127.0.0.1:8002\n" in config
    assert "lua.gateway_authorize" not in config
    assert "be_conn(ovms) ge 20" in config
    assert "gt 33554432" in config
    assert said["default"]["secret"] == []
    assert content(said, "default", "keys") == ""
    assert json.loads(content(said, "default", "gateway.json")) == {
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


def test_every_input_reaches_the_configuration(said: dict[str, Any]) -> None:
    config = content(said, "full", "haproxy.cfg")
    assert "    bind 0.0.0.0:8002 ssl crt /etc/ovms-edge/gateway/tls.pem alpn http/1.1\n" in config
    assert [f"timeout {name} 300s" in config for name in ("client", "server", "queue", "check")] == [True] * 4
    assert "be_conn(ovms) ge 5" in config
    assert "gt 1073741824" in config
    assert "maxconn 2 check" in config
    assert "server b 10.9.8.19:8000 track ovms/b" in config
    assert "prometheus" not in config
    settings = json.loads(content(said, "full", "gateway.json"))
    assert (settings["url"], settings["apps"]) == ("https://127.0.0.1:8002", None)
    assert settings["ca_file"] == "/etc/ovms-edge/gateway/certificate.pem"
    assert settings["slots"] == {"a": "10.9.8.18", "b": "10.9.8.19"}


def test_keys_go_by_their_digests(said: dict[str, Any]) -> None:
    lines = content(said, "full", "keys").splitlines()
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in (KEY, KEY + "/+=")]
    assert lines == [f"{digests[0]} till-1", f"{digests[1]} till-2"]
    assert KEY not in json.dumps(said["full"])


def test_a_certificate_is_generated_for_every_name_of_the_host(said: dict[str, Any]) -> None:
    assert said["full"]["names"] == "DNS:store-001,DNS:localhost,IP:127.0.0.1,IP:192.0.2.11"
    assert [said[case]["generate"] for case in ("default", "full", "given")] == [False, True, False]


def test_a_given_certificate_is_tried_with_its_key(said: dict[str, Any]) -> None:
    (pem,) = said["given"]["secret"]
    assert pem["content"] == f"{CERTIFICATE}\n{PRIVATE_KEY}\n"
    assert (pem["mode"], pem["validate"][0]) == ("0600", "python3")
    assert "PRIVATE KEY" not in json.dumps(said["given"]["files"])
    assert json.loads(content(said, "given", "gateway.json"))["ca_file"] is None


def test_an_address_of_ipv6_is_written_in_brackets(said: dict[str, Any]) -> None:
    assert "    bind [::1]:8002\n" in content(said, "v6", "haproxy.cfg")
    assert json.loads(content(said, "v6", "gateway.json"))["url"] == "http://[::1]:8002"


def test_another_configuration_has_another_digest(said: dict[str, Any]) -> None:
    def digest(case: str) -> str:
        (line,) = [
            text for text in content(said, case, "haproxy.cfg").splitlines() if "GATEWAY_CONFIG" in text
        ]
        return line.split()[-1]

    digests = {digest(case) for case in TAKEN}
    assert len(digests) == len(TAKEN)
    assert all(len(found) == 16 for found in digests)
