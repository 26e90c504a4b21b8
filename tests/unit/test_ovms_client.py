from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.ovms.chat import chat_body
from ovms_edge.ovms.client import OvmsClient, OvmsRefusedError, OvmsUnreachableError, Sample
from tests.unit.node_ovms import SERVABLE, FakeOvms, config_entry, events, serve

CHAT = "/v3/chat/completions"


@pytest.fixture
def ovms() -> Iterator[FakeOvms]:
    with serve(FakeOvms()) as fake:
        yield fake


@pytest.fixture
def client(ovms: FakeOvms) -> OvmsClient:
    return OvmsClient(f"http://127.0.0.1:{ovms.port}", 5)


@pytest.mark.parametrize(
    ("state", "error_code", "available", "failed"),
    [
        ("AVAILABLE", "OK", True, False),
        ("LOADING", "OK", False, False),
        ("LOADING", "FAILED_PRECONDITION", False, True),
        ("END", "OK", False, False),
    ],
)
def test_states_are_told_apart(
    client: OvmsClient, ovms: FakeOvms, state: str, error_code: str, available: bool, failed: bool
) -> None:
    ovms.configs = [config_entry(state, error_code)]
    entry = client.servables()[SERVABLE]
    assert (entry.available, entry.failed) == (available, failed)


def test_while_the_first_load_runs_nothing_is_listed(client: OvmsClient, ovms: FakeOvms) -> None:
    ovms.configs = [{}]
    assert client.servables() == {}


def test_the_list_of_models_with_its_double_key_is_read(client: OvmsClient, ovms: FakeOvms) -> None:
    ovms.answers["/v3/models"] = (200, b'{"object":"list","data":[{"id":"Qwen/tiny"}],"object":"list"}')
    assert client.models() == ["Qwen/tiny"]


def test_a_stream_is_put_together_and_timed(client: OvmsClient, ovms: FakeOvms) -> None:
    ovms.answers[CHAT] = (200, events("a", "b"))
    answer = client.chat_stream({"model": SERVABLE}, 5)
    assert (answer.content, answer.finish_reason, answer.completion_tokens) == ("ab", "stop", 2)
    assert answer.first_token_seconds is not None
    assert 0 < answer.first_token_seconds <= answer.total_seconds
    assert ovms.requests == [{"model": SERVABLE, "stream": True, "stream_options": {"include_usage": True}}]


def test_an_answer_in_one_piece_is_read(client: OvmsClient, ovms: FakeOvms) -> None:
    document = {
        "choices": [
            {"finish_reason": "length", "index": 0, "message": {"content": "a", "role": "assistant"}}
        ],
        "model": SERVABLE,
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    ovms.answers[CHAT] = (200, json.dumps(document).encode())
    answer = client.chat({"model": SERVABLE}, 5)
    assert (answer.content, answer.finish_reason, answer.first_token_seconds) == ("a", "length", None)


def test_a_stream_that_ends_early_is_no_answer(client: OvmsClient, ovms: FakeOvms) -> None:
    ovms.answers[CHAT] = (200, events("a").removesuffix(b"data: [DONE]\n\n"))
    with pytest.raises(OvmsUnreachableError, match=r"without \[DONE\]"):
        client.chat_stream({}, 5)


def test_an_error_of_ovms_is_quoted(client: OvmsClient, ovms: FakeOvms) -> None:
    ovms.answers[CHAT] = (404, b'{"error": "Mediapipe graph definition with requested name is not found"}')
    with pytest.raises(OvmsRefusedError, match="answered 404: Mediapipe graph definition"):
        client.chat_stream({}, 5)


@pytest.mark.parametrize("text", [b"<html>", b"[]", b'{"a": 1}', b'{"a": {"model_version_status": []}}'])
def test_another_program_on_the_port_is_noticed(client: OvmsClient, ovms: FakeOvms, text: bytes) -> None:
    ovms.answers["/v1/config"] = (200, text)
    with pytest.raises(OvmsRefusedError, match="not what OVMS answers"):
        client.servables()


def test_nobody_there_is_named() -> None:
    with pytest.raises(
        OvmsUnreachableError, match=r"OVMS at http://127\.0\.0\.1:9 does not answer GET /v1/config"
    ):
        OvmsClient("http://127.0.0.1:9", 1).servables()


def test_a_stream_is_handed_on_as_it_comes(client: OvmsClient, ovms: FakeOvms) -> None:
    ovms.answers[CHAT] = (200, events("a", "", "b"))
    pieces: list[str] = []
    assert client.chat_stream({}, 5, pieces.append).content == "ab"
    assert pieces == ["a", "b"]


@pytest.mark.parametrize("message", ["KV cache is full", 'no "JSON" in here'])
def test_an_error_in_mid_stream_is_quoted(client: OvmsClient, ovms: FakeOvms, message: str) -> None:
    begun = events("a").removesuffix(b"data: [DONE]\n\n")
    ovms.answers[CHAT] = (200, begun + f'{{"error": "{message}"}}'.encode())  # OVMS does not escape it
    with pytest.raises(OvmsRefusedError) as caught:
        client.chat_stream({}, 5)
    assert "broke off its answer" in caught.value.reason
    assert message in caught.value.reason


def test_a_request_has_its_images_first_and_one_text() -> None:
    body = chat_body("m", "what?", ["data:image/png;base64,AA==", "data:image/bmp;base64,AA=="], 7)
    (message,) = body["messages"]
    assert [part["type"] for part in message["content"]] == ["image_url", "image_url", "text"]
    assert (body["model"], body["max_completion_tokens"]) == ("m", 7)


METRICS = b"""# HELP ovms_requests_accepted Number of accepted requests.
# TYPE ovms_requests_accepted counter
ovms_requests_accepted{api="V3",interface="REST",method="Stream",name="Qwen/tiny"} 3
ovms_graph_processing_time_us_bucket{method="Unary",name="a \\"b\\\\",le="+Inf"} 1.5e+06
ovms_current_graphs 0 1700000000000
"""


def test_metrics_are_read(client: OvmsClient, ovms: FakeOvms) -> None:
    ovms.answers["/metrics"] = (200, METRICS)
    assert client.metrics() == [
        Sample(
            "ovms_requests_accepted",
            {"api": "V3", "interface": "REST", "method": "Stream", "name": "Qwen/tiny"},
            3.0,
        ),
        Sample(
            "ovms_graph_processing_time_us_bucket",
            {"method": "Unary", "name": 'a "b\\', "le": "+Inf"},
            1_500_000.0,
        ),
        Sample("ovms_current_graphs", {}, 0.0),
    ]


@pytest.mark.parametrize("text", [b"<html>", b"name", b"name{a=b} 1", b"name one"])
def test_what_are_no_metrics_is_noticed(client: OvmsClient, ovms: FakeOvms, text: bytes) -> None:
    ovms.answers["/metrics"] = (200, text)
    with pytest.raises(OvmsRefusedError, match="not what OVMS answers"):
        client.metrics()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8002",
        "ftp://h",
        "http://",
        "http://h:0",
        "http://h:99999",
        "http://u:p@h",
        "http://h/?a=1",
    ],
)
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no URL of a server"):
        OvmsClient(url, 1)


def test_a_path_in_front_of_the_api_is_kept(ovms: FakeOvms) -> None:
    ovms.answers["/ovms/v3/models"] = (200, b'{"data": [{"id": "a"}]}')
    assert OvmsClient(f"http://127.0.0.1:{ovms.port}/ovms/", 5).models() == ["a"]


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_not_asked(
    client: OvmsClient, ovms: FakeOvms, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    ovms.configs = [{}]
    assert client.servables() == {}


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(OvmsUnreachableError, match=r"did not answer GET /v1/config within 0\.2 s"):
            OvmsClient(url, 0.2).servables()


class _Guarded(BaseHTTPRequestHandler):
    """Answers as OVMS with an API key: 500 for a wrong one, GET needs none."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") == "Bearer right":
            self.reply(200, events("a"))
        else:
            self.reply(500, b'{"error":"Unauthorized request due to invalid or missing api-key"}')

    def do_GET(self) -> None:
        self.reply(200, b"{}")

    def reply(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself, in one file."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", f"{file}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@pytest.fixture(scope="module")
def guarded(certificate: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Guarded)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_server_whose_ca_is_given_is_trusted(guarded: str, certificate: Path) -> None:
    assert OvmsClient(guarded, 5, ca_file=certificate).servables() == {}


def test_a_server_whose_ca_is_not_known_is_not_trusted(guarded: str) -> None:
    with pytest.raises(OvmsUnreachableError, match="is not trusted: self-signed certificate") as caught:
        OvmsClient(guarded, 5).servables()
    assert "--ca" in caught.value.remedy


def test_a_name_that_the_certificate_has_not_is_not_trusted(guarded: str, certificate: Path) -> None:
    url = guarded.replace("127.0.0.1", "localhost")
    with pytest.raises(OvmsUnreachableError, match="is not trusted"):
        OvmsClient(url, 5, ca_file=certificate).servables()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_is_none_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    with pytest.raises(EdgeError, match=r"ca\.pem is not readable as CA certificates"):
        OvmsClient("https://127.0.0.1:9", 1, ca_file=file).servables()


def test_the_right_key_is_let_in(guarded: str, certificate: Path) -> None:
    client = OvmsClient(guarded, 5, ca_file=certificate, api_key="right")
    assert client.chat_stream({}, 5).content == "a"


@pytest.mark.parametrize(("key", "said"), [(None, "yours is missing"), ("wrong", "is not the one")])
def test_a_wrong_key_is_named_though_ovms_says_500(
    guarded: str, certificate: Path, key: str | None, said: str
) -> None:
    client = OvmsClient(guarded, 5, ca_file=certificate, api_key=key)
    with pytest.raises(OvmsRefusedError, match=said) as caught:
        client.chat({}, 5)
    assert "--api_key_file" in caught.value.remedy
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("key", ["a\nb", "k\u00e9y"])
def test_a_key_that_no_header_holds_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match="API key"):
        OvmsClient("http://127.0.0.1:9", 1, api_key=key)


def test_bytes_that_drip_in_do_not_stretch_the_time() -> None:
    def drip() -> None:
        with server.accept()[0] as connection, suppress(OSError):
            for _ in range(60):
                connection.sendall(b"H")
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(OvmsUnreachableError, match=r"within 0\.3 s"):
            OvmsClient(f"http://127.0.0.1:{server.getsockname()[1]}", 0.3).servables()
        assert time.monotonic() - began < 2


def test_an_error_of_the_reader_is_not_the_servers(client: OvmsClient, ovms: FakeOvms) -> None:
    def gone(_: str) -> None:
        raise BrokenPipeError

    ovms.answers[CHAT] = (200, events("a"))
    with pytest.raises(BrokenPipeError):
        client.chat_stream({}, 5, gone)


def test_json_too_deep_and_half_a_surrogate_pair_are_no_traceback(client: OvmsClient, ovms: FakeOvms) -> None:
    ovms.answers["/v1/config"] = (200, b"[" * 100_000)
    with pytest.raises(OvmsRefusedError, match="not what OVMS answers"):
        client.servables()
    ovms.answers[CHAT] = (200, events("\ud83d"))
    assert client.chat_stream({}, 5).content == "?"


def test_an_error_sent_as_data_is_quoted(client: OvmsClient, ovms: FakeOvms) -> None:
    ovms.answers[CHAT] = (200, b'data: {"error": "no memory"}\n\n')
    with pytest.raises(OvmsRefusedError, match="broke off its answer: no memory"):
        client.chat_stream({}, 5)


@pytest.mark.parametrize("url", ["http://a/b c", "http://a/\u00e9", f"http://{'a' * 70}"])
def test_what_no_request_line_holds_is_no_url(url: str) -> None:
    with pytest.raises(UsageError, match="is no URL"):
        OvmsClient(url, 1)
