"""The registry client against a server that misbehaves on demand, over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.oci import Credentials
from ovms_edge.release.artifact import Blob
from ovms_edge.release.credentials import read_credentials
from ovms_edge.release.depot import Depot
from ovms_edge.release.publish import FileBody
from ovms_edge.release.transport import Transport
from ovms_edge.release.upload import UploadNote
from tests.loopback import serving

REF = ReleaseRef("vlm", "1")
DATA = b"weights" * 30_000
BLOB = Blob("x", f"sha256:{hashlib.sha256(DATA).hexdigest()}", len(DATA), "a.bin")
NOTE = UploadNote(Path("/nowhere/note"))
UPLOADS = "/v2/models/vlm/blobs/uploads/"


@dataclass
class Answer:
    """What the server says to one kind of request; ``drop`` closes the connection instead."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    drop: bool = False


@dataclass
class Server:
    """``answers`` are taken one after the other for each method; the last one stays."""

    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    seen: list[tuple[str, str, str | None, bytes]] = field(default_factory=list)

    def methods(self) -> list[str]:
        return [method for method, *_ in self.seen]


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server("")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            state.seen.append((self.command, self.path, self.headers.get("Authorization"), body))
            answers = state.answers[self.command]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if answer.drop:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 (http.server's names)

    with serving(Handler) as host:
        state.url = f"http://{host}"
        yield state


@pytest.fixture(autouse=True)
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transport, "pauses_seconds", (0.01, 0.01))


@pytest.fixture
def depot(server: Server) -> Depot:
    return Depot(Transport(server.url, None, Credentials("me", "hunter2")))


@pytest.fixture
def body(tmp_path: Path) -> FileBody:
    path = tmp_path / "a.bin"
    path.write_bytes(DATA)
    return FileBody(path, BLOB, lambda _: None)


def accepting(location: str = UPLOADS + "1") -> dict[str, list[Answer]]:
    return {
        "HEAD": [Answer(404)],
        "POST": [Answer(202, {"Location": location})],
        "PUT": [Answer(201)],
    }


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (UPLOADS + "1", UPLOADS + f"1?digest={BLOB.digest}"),
        (UPLOADS + "1?_state=a%2Fb", UPLOADS + f"1?_state=a%2Fb&digest={BLOB.digest}"),
        ("HOST/elsewhere/1", f"/elsewhere/1?digest={BLOB.digest}"),
    ],
)
def test_upload_goes_where_the_registry_says(
    server: Server, depot: Depot, body: FileBody, location: str, target: str
) -> None:
    server.answers = accepting(location.replace("HOST", server.url))
    assert depot.push_file(REF, BLOB, body, NOTE)
    method, path, _, data = server.seen[-1]
    assert (method, path, data) == ("PUT", target, DATA)


def test_blob_that_is_there_is_not_sent(server: Server, depot: Depot, body: FileBody) -> None:
    server.answers = {"HEAD": [Answer(200)]}
    assert not depot.push_file(REF, BLOB, body, NOTE)
    assert server.methods() == ["HEAD"]


@pytest.mark.parametrize(
    "fault", [Answer(500), Answer(503), Answer(429, {"Retry-After": "0"}), Answer(0, drop=True)]
)
def test_upload_that_fails_is_sent_again_whole(
    server: Server, depot: Depot, body: FileBody, fault: Answer
) -> None:
    server.answers = accepting()
    server.answers["PUT"] = [fault, Answer(201)]
    assert depot.push_file(REF, BLOB, body, NOTE)
    assert server.methods() == ["HEAD", "POST", "PUT", "HEAD", "POST", "PUT"]
    assert [data for method, _, _, data in server.seen if method == "PUT"] == [DATA, DATA]


def test_failure_that_lasts_is_told_with_the_registrys_words(
    server: Server, depot: Depot, body: FileBody
) -> None:
    full = {"errors": [{"code": "UNKNOWN", "message": "unknown error", "detail": "no space left on device"}]}
    server.answers = accepting()
    server.answers["PUT"] = [Answer(500, body=json.dumps(full).encode())]
    with pytest.raises(EdgeError, match=r"500 to PUT .*no space left on device"):
        depot.push_file(REF, BLOB, body, NOTE)
    assert server.methods().count("PUT") == 3


def test_refused_digest_is_told(server: Server, depot: Depot, body: FileBody) -> None:
    invalid = {"errors": [{"code": "DIGEST_INVALID", "message": "provided digest did not match"}]}
    server.answers = accepting()
    server.answers["PUT"] = [Answer(400, body=json.dumps(invalid).encode())]
    with pytest.raises(EdgeError, match=r"other bytes than the manifest's .*DIGEST_INVALID"):
        depot.push_file(REF, BLOB, body, NOTE)
    assert server.methods().count("PUT") == 1


def test_changed_file_never_arrives_whole(server: Server, depot: Depot, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(DATA[:-1] + b"X")
    server.answers = accepting()
    with pytest.raises(EdgeError, match="changed after the build: its sha256"):
        depot.push_file(REF, BLOB, FileBody(path, BLOB, lambda _: None), NOTE)


def test_file_cut_while_it_is_sent_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(DATA[:1000])
    stream = FileBody(path, BLOB, lambda _: None).open()
    with pytest.raises(EdgeError, match=f"{len(DATA) - 1000} bytes are missing"):
        list(stream)
    stream.close()


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="cannot be read"):
        FileBody(tmp_path / "gone", BLOB, lambda _: None).open()


def test_progress_counts_a_retry_once(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(DATA)
    counts: list[int] = []
    body = FileBody(path, BLOB, counts.append)
    first = body.open()
    first.read(1000)
    first.close()
    second = body.open()
    assert b"".join(second) == DATA
    second.close()
    assert sum(counts) == len(DATA)


def test_password_is_sent_only_when_asked_for(server: Server, depot: Depot) -> None:
    server.answers = {"GET": [Answer(401, {"WWW-Authenticate": 'Basic realm="x"'}), Answer(404)]}
    assert depot.get_manifest(REF) is None
    expected = "Basic " + base64.b64encode(b"me:hunter2").decode()
    assert [authorization for _, _, authorization, _ in server.seen] == [None, expected]


def test_password_does_not_follow_an_upload_elsewhere(server: Server, depot: Depot, body: FileBody) -> None:
    server.answers = accepting(server.url.replace("127.0.0.1", "localhost") + "/other")
    with pytest.raises(EdgeError, match="without TLS"):
        depot.push_file(REF, BLOB, body, NOTE)
    assert server.methods() == ["HEAD", "POST"]


def test_password_goes_to_no_token_server_without_tls(server: Server, depot: Depot) -> None:
    challenge = 'Bearer realm="http://auth.example/token",service="s"'
    server.answers = {"GET": [Answer(401, {"WWW-Authenticate": challenge})]}
    with pytest.raises(EdgeError, match=r"logins to auth\.example without TLS"):
        depot.get_manifest(REF)


@pytest.mark.parametrize("name", ["token", "access_token"])
def test_token_is_asked_for_with_the_scope_of_the_challenge(server: Server, depot: Depot, name: str) -> None:
    challenge = f'Bearer realm="{server.url}/token",service="s",scope="repository:models/vlm:pull"'
    server.answers = {
        "GET": [
            Answer(401, {"WWW-Authenticate": challenge}),
            Answer(200, body=json.dumps({name: "T"}).encode()),
            Answer(404),
        ]
    }
    assert depot.get_manifest(REF) is None
    asked, last = server.seen[1], server.seen[2]
    assert asked[1] == "/token?service=s&scope=repository%3Amodels%2Fvlm%3Apull"
    assert asked[2] == "Basic " + base64.b64encode(b"me:hunter2").decode()
    assert last[2] == "Bearer T"


def test_manifest_read_back_otherwise_is_an_error(server: Server, depot: Depot) -> None:
    server.answers = {"PUT": [Answer(201)], "GET": [Answer(200, body=b"other")]}
    with pytest.raises(EdgeError, match="not the sha256:"):
        depot.put_manifest(REF, b"mine")


def test_damaged_blob_is_not_believed(server: Server, depot: Depot) -> None:
    server.answers = {"GET": [Answer(200, body=b"other")]}
    with pytest.raises(EdgeError, match="is damaged in the depot"):
        depot.get_blob(REF, BLOB, 1 << 20)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:hunter2@depot:5000", "credentials file"),
        ("depot:5000", "not a depot URL"),
        ("https://depot:5000/v2", "not a depot URL"),
        ("ftp://depot", "not a depot URL"),
        ("http://depot.example:5000", "has no TLS"),
    ],
)
def test_url_that_is_none_of_a_depot_is_refused(url: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as caught:
        Transport(url, None, None)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_text("junk"), "is not usable"),
    ],
)
def test_ca_file_that_is_none_is_named(
    tmp_path: Path, prepare: Callable[[Path], object], expected: str
) -> None:
    path = tmp_path / "ca.pem"
    prepare(path)
    with pytest.raises(EdgeError, match=expected):
        Transport("https://127.0.0.1:9", path, None)


def test_https_to_a_port_without_tls_is_told(server: Server) -> None:
    url = server.url.replace("http:", "https:")
    with pytest.raises(EdgeError, match="does not speak TLS"):
        Transport(url, None, None).send("GET", f"{url}/v2/", (200,))


def auth(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("auths", "expected"),
    [
        ({"depot:5000": {"auth": auth("me:a:b")}}, Credentials("me", "a:b")),
        ({"https://depot:5000/v1/": {"auth": auth("me:x")}}, Credentials("me", "x")),
        ({"depot:5000": {"username": "me", "password": "x"}}, Credentials("me", "x")),
        ({"depot": {"auth": auth("me:x")}}, None),
        ({"depot:5000": {}}, None),
        ({}, None),
    ],
)
def test_credentials_are_those_of_the_host(
    tmp_path: Path, auths: dict[str, dict[str, str]], expected: Credentials | None
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": auths}))
    assert read_credentials(path, "depot:5000") == expected


@pytest.mark.parametrize(
    "text",
    [
        "hunter2",
        "[]",
        '{"auths": []}',
        '{"auths": {"depot": {"auth": "hunter2!"}}}',
        '{"auths": {"depot": {"auth": "aHVudGVyMg=="}}}',
        '{"auths": {"depot": {"username": "me"}}}',
    ],
)
def test_malformed_credentials_are_told_but_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(EdgeError, match="not a Docker") as caught:
        read_credentials(path, "depot")
    assert "hunter2" not in str(caught.value)


def test_password_shows_in_no_repr() -> None:
    assert "hunter2" not in repr(Credentials("me", "hunter2"))
