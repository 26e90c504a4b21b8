"""What one does without ovms-edge: OVMS's own reload of a changed configuration, on a plain container."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ovms_edge.ovms.client import OvmsClient, OvmsUnreachableError
from ovms_edge.ovms.config import render_config
from ovms_edge.ovms.graph import MODELS_PATH, render_graph
from tests.e2e.load import Endpoint
from tests.e2e.two_releases import Two

_CONTAINER = "reload-peer"
_PORT = 8100
_RELEASES = "/var/lib/ovms-edge/releases"
_MODELS = "/root/reload-peer"
_DIRECTORIES = ("one", "two")
_START_SECONDS = 120.0
_RELOAD_SECONDS = 120.0


@dataclass(frozen=True)
class Peer:
    two: Two
    endpoint: Endpoint

    def reload(self, number: int) -> None:
        """Write the graph of one of the two and a new ``config.json``, and have OVMS read them."""
        self.write(number)
        connection = http.client.HTTPConnection(self.two.store.address, _PORT, timeout=_RELOAD_SECONDS)
        connection.request("POST", "/v1/config/reload")
        status = connection.getresponse().status
        connection.close()
        if status not in (200, 201):
            raise RuntimeError(f"POST /v1/config/reload answers {status}")

    def write(self, number: int) -> None:
        directory = _DIRECTORIES[number % 2]
        options = {"device": "CPU", "cache_size": 2, "max_num_seqs": 4}
        graph = render_graph(options, "2025.4.1").replace(MODELS_PATH, f"/models/{directory}")
        config = render_config(self.endpoint.model, "/models/served") + "\n" * (
            number % 2
        )  # OVMS looks at its digest
        self.two.store.put(f"{_MODELS}/served/graph.pbtxt", graph)
        self.two.store.put(f"{_MODELS}/config.json", config)


@contextmanager
def plain_container(two: Two) -> Iterator[Peer]:
    """Yield OVMS with both models, in a container of the same image that anybody reaches directly."""
    store = two.store
    endpoint = Endpoint(f"http://{store.address}:{_PORT}", store.endpoint().model)
    peer = Peer(two, endpoint)
    image = store.settings()["image"]
    store.run("mkdir", "-p", f"{_MODELS}/served")
    for ref, directory in zip(two.refs, _DIRECTORIES, strict=True):
        store.run(
            "cp", "-r", f"/var/lib/ovms-edge/releases/{ref.name}/{ref.version}", f"{_MODELS}/{directory}"
        )
    peer.write(0)
    store.run(
        *("docker", "run", "--detach", "--name", _CONTAINER, "--publish", f"{_PORT}:8000"),
        *("--volume", f"{_MODELS}:/models:ro", image),
        *("--config_path", "/models/config.json", "--rest_port", "8000"),
        *("--file_system_poll_wait_seconds", "0"),
    )
    try:
        _wait_until_available(endpoint)
        yield peer
    finally:
        store.run("docker", "rm", "--force", _CONTAINER)
        store.run("rm", "-rf", _MODELS)


def _wait_until_available(endpoint: Endpoint) -> None:
    client, deadline = OvmsClient(endpoint.url, 5.0), time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if any(entry.available for entry in client.servables().values()):
                return
        except OvmsUnreachableError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"OVMS at {endpoint.url} does not serve after {_START_SECONDS:.0f} s")
