from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from ansible_collections.ovms.edge.plugins.action import gateway_facts as action
from ansible_collections.ovms.edge.plugins.plugin_utils import _gateway_facts_program as program
from ansible_collections.ovms.edge.plugins.plugin_utils._host_program import NoAnswerError, parse_answer

SUBNET = "172.31.253.0/29"
HEAD = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
DEFAULT = "eth0 00000000 014DD50A 0003 0 0 0 00000000 0 0 0\n"
BRIDGE = "br-1 00FD1FAC 00000000 0001 0 0 0 F8FFFFFF 0 0 0\n"  # 172.31.253.0/29
UNREACHABLE = BRIDGE.replace("br-1", "*")
TUNNEL = "tun0 00001FAC 00000000 0001 0 0 0 0000FFFF 0 0 0\n"  # 172.31.0.0/16
OTHER = "eth0 004DD50A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"  # 10.213.77.0/24


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("HAProxy version 2.6.12-1+deb12u3 2025/10/03 - https://haproxy.org/\n", "2.6.12"),
        ("HAProxy version 2.4.24-0ubuntu0.22.04.2 2025/01/01\n", "2.4.24"),
        ("HA-Proxy version 1.8.8-1 2018/04/19\n", "1.8.8"),
        ("", None),
    ],
)
def test_the_version_is_read_from_what_haproxy_says(said: str, version: str | None) -> None:
    assert program.version_in(said) == version


@pytest.mark.parametrize(
    ("routes", "own", "found"),
    [
        (DEFAULT + OTHER, None, []),
        (DEFAULT + TUNNEL, None, ["172.31.0.0/16 dev tun0"]),
        (TUNNEL, SUBNET, ["172.31.0.0/16 dev tun0"]),
        (BRIDGE, None, ["172.31.253.0/29 dev br-1"]),
        (BRIDGE, SUBNET, []),
        (BRIDGE + UNREACHABLE, None, []),  # gateway.json was lost
        (TUNNEL + UNREACHABLE, None, ["172.31.0.0/16 dev tun0"]),
        ("", None, []),
    ],
)
def test_a_route_that_the_subnet_overlaps_is_told_but_the_gateways_own(
    routes: str, own: str | None, found: list[str]
) -> None:
    assert program.overlaps(SUBNET, HEAD + routes, own) == found


@pytest.mark.parametrize("text", ["", "{", "[]", '{"subnet": 1}', "{}"])
def test_settings_that_cannot_be_read_make_no_subnet_ours(tmp_path: Path, text: str) -> None:
    path = tmp_path / program.SETTINGS
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert program.own_subnet(tmp_path) is None


def test_the_subnet_that_is_ours_is_read_from_the_settings(tmp_path: Path) -> None:
    assert program.own_subnet(tmp_path) is None
    path = tmp_path / program.SETTINGS
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"subnet": SUBNET}))
    assert program.own_subnet(tmp_path) == SUBNET


def test_a_generated_certificate_is_known_by_its_first_line() -> None:
    assert program.generated_for("# generated for: DNS:a,IP:10.0.0.1\n-----BEGIN\n") == "DNS:a,IP:10.0.0.1"
    assert program.generated_for("-----BEGIN CERTIFICATE-----\n# generated for: x\n") is None


def test_a_certificate_that_is_not_there_is_due(tmp_path: Path) -> None:
    assert program.certificate_state(tmp_path) == {"generated_for": None, "due": True}


def test_the_digest_of_a_configuration_is_found_in_it() -> None:
    assert program.config_in("global\n    setenv GATEWAY_CONFIG 0123abcd\n    setenv X y\n") == "0123abcd"
    assert program.config_in("global\n    setenv GATEWAY_KEYS_FILE x\n") is None


def test_no_answer_of_the_host_is_a_failure_that_says_what_came_instead() -> None:
    with pytest.raises(NoAnswerError, match="sudo: a password is required"):
        parse_answer("", "sudo: a password is required\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"error": "Connection refused"}, "Connection refused"),
        ({"status": 200, "config": "old"}, "it answers 200 by the one before"),
    ],
)
def test_a_configuration_that_was_not_taken_up_is_told_with_the_place_to_look(
    answer: dict[str, object], said: str
) -> None:
    text = action.not_current({"answer": answer})
    assert said in text
    assert "journalctl -u ovms-edge-gateway" in text


@pytest.mark.parametrize(
    ("bind", "address", "port", "conflict"),
    [
        ("127.0.0.1:8002", "127.0.0.1", 8002, True),
        ("0.0.0.0:8002", "127.0.0.1", 8002, True),
        ("127.0.0.1:8002", "::", 8002, True),
        ("[::1]:8002", "::1", 8002, True),
        ("127.0.0.1:8002", "172.17.0.1", 8002, False),
        ("0.0.0.0:8002", "0.0.0.0", 8003, False),  # noqa: S104
    ],
)
def test_two_listeners_that_cannot_be_at_once(bind: str, address: str, port: int, conflict: bool) -> None:
    assert program.in_the_way(bind, address, port) is conflict


def test_listeners_are_read_from_the_kernels_tables() -> None:
    head = "sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode\n"
    four = "0: 0100007F:1F42 00000000:0000 0A 0:0 0:0 0 0 0 711 1\n"
    open_ = "1: 0100007F:1F42 0100007F:9999 01 0:0 0:0 0 0 0 712 1\n"
    six = "0: 00000000000000000000000001000000:1F42 0:0 0A 0:0 0:0 0 0 0 713 1\n"
    assert program.listeners_in(head + four + open_) == [("127.0.0.1", 8002, "711")]
    assert program.listeners_in(head + six) == [("::1", 8002, "713")]
    assert program.listeners_in("") == []


def test_who_listens_where_the_gateway_is_to_listen_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert program.taken([f"0.0.0.0:{port}"], Path("/")) == [
            f"0.0.0.0:{port} ({Path('/proc/self/comm').read_text().strip()}, pid {os.getpid()})"
        ]
    assert program.taken([f"0.0.0.0:{port}"], Path("/")) == []
