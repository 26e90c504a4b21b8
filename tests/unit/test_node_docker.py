"""The engine's API over a real UNIX socket; what it answers is taken from Docker 20.10 and 26.1."""

from __future__ import annotations

import base64
import json
import socketserver
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.node.docker import Docker, registry_of, split_reference
from ovms_edge.node.registry_auth import credentials_for
from ovms_edge.oci import Credentials


class Engine:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, tuple[int, bytes]] = {
            "GET /version": (200, b'{"ApiVersion": "1.41", "Version": "20.10.24"}')
        }
        self.seen: list[tuple[str, dict[str, str], bytes]] = []


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path / "docker.sock")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            engine.seen.append((f"{self.command} {self.path}", dict(self.headers), body))
            status, data = engine.answers.get(
                f"{self.command} {self.path}", (404, b'{"message": "No such thing"}')
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815  (http.server's names)

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_: object) -> None:
            return

    server = socketserver.ThreadingUnixStreamServer(str(engine.path), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield engine
    server.shutdown()
    server.server_close()


def test_calls_name_the_version_that_the_engine_speaks(engine: Engine) -> None:
    engine.answers["GET /v1.41/containers/ovms/json"] = (200, b'{"Id": "1"}')
    assert Docker(engine.path).container("ovms") == {"Id": "1"}


def test_what_is_not_there_is_none(engine: Engine) -> None:
    docker = Docker(engine.path)
    assert (docker.container("x"), docker.image("a/b:c"), docker.network("n")) == (None, None, None)


def test_no_engine_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"no Docker Engine behind .*; start it"):
        Docker(tmp_path / "none.sock").container("x")


def test_a_refusal_carries_the_engine_s_own_words(engine: Engine) -> None:
    engine.answers["POST /v1.41/containers/a/start"] = (500, b'{"message": "port is already allocated"}')
    with pytest.raises(EdgeError, match=r"answers 500 .*port is already allocated"):
        Docker(engine.path).start("a")


def test_a_pull_that_fails_inside_a_good_answer_is_an_error(engine: Engine) -> None:
    progress = (
        b'{"status": "Pulling"}\r\n{"errorDetail": {"message": "no space"}, "error": "no space left"}\r\n'
    )
    engine.answers["POST /v1.41/images/create?fromImage=depot%3A5000%2Fovms&tag=1"] = (200, progress)
    credentials = Credentials("store", "s3cret")
    with pytest.raises(EdgeError, match=r"image depot:5000/ovms:1 cannot be pulled: no space left"):
        Docker(engine.path).pull("depot:5000/ovms:1", credentials)
    sent = json.loads(base64.urlsafe_b64decode(engine.seen[-1][1]["X-Registry-Auth"]))
    assert sent == {"username": "store", "password": "s3cret", "serveraddress": "depot:5000"}
    assert "s3cret" not in repr(credentials)


def test_log_lines_are_put_together_across_frames(engine: Engine) -> None:
    def frame(stream: int, data: bytes) -> bytes:
        return struct.pack(">BxxxL", stream, len(data)) + data

    data = frame(1, b"one\ntw") + frame(2, b"error\n") + frame(1, b"o\nlast")
    engine.answers["GET /v1.41/containers/a/logs?stdout=1&stderr=1&since=0&tail=all"] = (200, data)
    assert list(Docker(engine.path).log_lines("a")) == ["one", "error", "two", "last"]


@pytest.mark.parametrize(
    ("reference", "repository", "tag", "registry"),
    [
        ("ovms", "ovms", "latest", "docker.io"),
        ("openvino/model_server:2025.4.1-gpu", "openvino/model_server", "2025.4.1-gpu", "docker.io"),
        ("depot:5000/openvino/model_server", "depot:5000/openvino/model_server", "latest", "depot:5000"),
        ("depot:5000/a/b:1", "depot:5000/a/b", "1", "depot:5000"),
        ("localhost/a:1", "localhost/a", "1", "localhost"),
        ("depot.example/a:1@sha256:abc", "depot.example/a", "sha256:abc", "depot.example"),
    ],
)
def test_image_references_are_taken_apart(reference: str, repository: str, tag: str, registry: str) -> None:
    assert split_reference(reference) == (repository, tag)
    assert registry_of(reference) == registry


def test_credentials_come_from_docker_s_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert credentials_for("depot:5000", path) is None
    path.write_text(json.dumps({"auths": {"depot:5000": {"auth": base64.b64encode(b"u:p:w").decode()}}}))
    assert credentials_for("depot:5000", path) == Credentials("u", "p:w")
    assert credentials_for("other:5000", path) is None
    path.write_text('{"auths": {"depot:5000": {"auth": "!"}}}')
    with pytest.raises(EdgeError, match="not a Docker credentials file"):
        credentials_for("depot:5000", path)
