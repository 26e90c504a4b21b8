"""ovms-facts 1 and 3.5: KV memory comes with the first request; image URLs are fetched."""

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tests.contract.support import (
    AVAILABLE,
    Container,
    config_of,
    graph,
    image_part,
    png,
    start,
    text_part,
    write_models,
)

pytestmark = pytest.mark.lab
RED = png(84, 56, 200, 30, 30)


def test_a_cache_too_large_for_the_container_ends_the_server_at_the_first_request(
    model: Path, tmp_path: Path
) -> None:
    write_models(tmp_path, config_of("a"), {"a": graph("cache_size: 2")})
    container = start(tmp_path, "--config_path", "/models/config.json", memory="1536m")
    try:
        container.wait_until_loaded()
        assert container.server.statuses() == {"a": AVAILABLE}
        with pytest.raises(requests.ConnectionError):
            container.server.chat(model="a")
        assert container.wait_for_exit(20) != 0
    finally:
        container.remove()


class _Host(BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 - one server a test session

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/red.png")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"text" if self.path == "/text" else RED)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def host(main: Container) -> Iterator[str]:
    """A web server on the address by which containers see this host."""
    found = subprocess.run(["docker", "inspect", main.id], capture_output=True, check=True)
    (network,) = json.loads(found.stdout)[0]["NetworkSettings"]["Networks"].values()
    server = ThreadingHTTPServer((network["Gateway"], 0), _Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{network['Gateway']}:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(
    ("path", "fetched"), [("/red.png", ["/red.png"]), ("/moved", ["/moved", "/red.png"])]
)
def test_an_image_url_is_fetched_and_redirects_followed(
    main: Container, host: str, path: str, fetched: list[str]
) -> None:
    _Host.asked.clear()
    answer = main.server.chat([text_part("What is it?"), image_part(host + path)])

    assert answer.status_code == 200, answer.text
    assert _Host.asked == fetched


def test_a_url_that_is_no_image_is_400(main: Container, host: str) -> None:
    answer = main.server.chat([image_part(f"{host}/text")])

    assert answer.status_code == 400
    assert "Image parsing failed" in answer.json()["error"]
