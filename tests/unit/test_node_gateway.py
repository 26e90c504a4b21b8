"""The gateway as the node tool sees it: its settings, its route, whether anybody is still answered."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.node.drain import connections_to, drained
from ovms_edge.node.facts import installed_gateway
from ovms_edge.node.gateway import Gateway, load_gateway
from tests.loopback import serving

DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "url": "http://127.0.0.1:8002",
    "network": "ovms-edge-server",
    "subnet": "172.31.253.0/29",
    "slots": {"a": "172.31.253.2", "b": "172.31.253.3"},
    "route_file": "/run/ovms-edge-gateway/route",
    "apps": {"network": "ovms-edge", "alias": "ovms-vlm", "socket": "/run/ovms-edge-gateway/apps/http.sock"},
}


def loaded(tmp_path: Path, **changes: Any) -> Gateway:
    path = tmp_path / "gateway.json"
    path.write_text(json.dumps({**DOCUMENT, **changes}))
    return load_gateway(path)


def test_its_settings_are_read(tmp_path: Path) -> None:
    gateway = loaded(tmp_path)
    assert gateway.server_url("b") == "http://172.31.253.3:8000"
    assert gateway.apps
    assert gateway.apps.alias == "ovms-vlm"
    assert loaded(tmp_path, apps=None).apps is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema 2"),
        ({"slots": {"a": "172.31.253.2"}}, "'b'"),
        ({"slots": {"a": "x", "b": "y"}}, "'x'"),
        ({"subnet": "172.31.253.1/29"}, "host bits"),
        ({"port": 1}, "'port' is unknown"),
    ],
)
def test_damaged_settings_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(EdgeError, match=r"gateway\.json") as caught:
        loaded(tmp_path, **change)
    assert said in caught.value.reason


def test_a_node_without_a_gateway_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="no gateway on this node") as caught:
        load_gateway(tmp_path / "gateway.json")
    assert "ovms_gateway" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "route"),
    [(None, "hold"), ("a\n", "a"), ("b", "b"), ("hold\n", "hold"), ("", "hold"), ("c\n", "hold")],
)
def test_whatever_is_no_slot_is_held(tmp_path: Path, text: str | None, route: str) -> None:
    path = tmp_path / "route"
    if text is not None:
        path.write_text(text)
    assert loaded(tmp_path, route_file=str(path)).route() == route


def test_a_route_is_set_for_haproxy_to_read(tmp_path: Path) -> None:
    path = tmp_path / "route"
    gateway = loaded(tmp_path, route_file=str(path))
    gateway.set_route("b")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("b\n", 0o644)
    with pytest.raises(EdgeError, match="never started"):
        loaded(tmp_path, route_file=str(tmp_path / "none/route")).set_route("a")


def test_health_is_read_whatever_the_status(tmp_path: Path) -> None:
    class Health(BaseHTTPRequestHandler):
        said = "hold"

        def do_GET(self) -> None:
            self.send_response(200 if self.said in "ab" else 503)
            self.end_headers()
            self.wfile.write(f"{self.said}\n".encode())

    with serving(Health) as address:
        gateway = loaded(tmp_path, url=f"http://{address}")
        assert gateway.health() == "hold"
        with pytest.raises(EdgeError, match="does not send requests to slot a, it says 'hold'"):
            gateway.wait_for("a", 0.1)
        threading.Timer(0.2, setattr, (Health, "said", "a")).start()
        gateway.wait_for("a", 5)
    with pytest.raises(EdgeError, match="does not answer") as caught:
        gateway.health()
    assert "ovms-edge-gateway" in caught.value.remedy


def test_open_connections_count_and_closed_ones_do_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connections_to("127.0.0.1", port) == 0
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            assert connections_to("127.0.0.1", port) == 2
            assert connections_to("127.0.0.2", port) == 0
            assert not drained("127.0.0.1", port, 0.2)
        assert drained("127.0.0.1", port, 5)


def test_a_server_is_drained_once_the_last_connection_has_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connection = socket.create_connection(("127.0.0.1", port))
        threading.Timer(0.4, connection.close).start()
        started = time.monotonic()
        assert drained("127.0.0.1", port, 5)
        assert 0.4 <= time.monotonic() - started < 2


def test_facts_go_on_without_settings_that_the_role_has_to_mend(tmp_path: Path) -> None:
    damaged = tmp_path / "gateway.json"
    assert installed_gateway(damaged) is None
    damaged.write_text("{")
    assert installed_gateway(damaged) is None
    damaged.write_text(json.dumps(DOCUMENT))
    assert installed_gateway(damaged) == load_gateway(damaged)
