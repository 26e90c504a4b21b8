from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ovms_edge.ovms.client import OvmsClient, OvmsRefusedError, OvmsUnreachableError
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
