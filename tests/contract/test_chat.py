"""ovms-facts 4.5: chat completions."""

import json
import struct
from typing import Any

import pytest
import requests

from tests.contract.support import Container, Ovms, data_uri, image_part, png, text_part

pytestmark = pytest.mark.lab
CHAT = "/v3/chat/completions"
RED = png(84, 56, 200, 30, 30)
BLUE = png(84, 56, 20, 20, 220)
PARSE_FAILURE = (
    "Mediapipe execution failed. MP status - INVALID_ARGUMENT: CalculatorGraph::Run() failed: \n"
    'Calculator::Process() for node "LLMExecutor" failed: '
)


def asked(url: str, text: str = "What is it?") -> list[dict[str, Any]]:
    return [text_part(text), image_part(url)]


def events(text: str) -> list[str]:
    return [event.removeprefix("data: ") for event in text.split("\n\n") if event]


@pytest.mark.parametrize("path", [CHAT, "/v3/v1/chat/completions"])
def test_an_image_is_answered(server: Ovms, path: str) -> None:
    body = {
        "model": server.model,
        "messages": [{"role": "user", "content": asked(data_uri(RED))}],
        "max_completion_tokens": 8,
        "temperature": 0,
    }
    answer = server.post(path, body)

    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]


def test_the_reply_has_the_documented_shape(server: Ovms) -> None:
    reply = server.chat(asked(data_uri(RED))).json()
    (choice,) = reply["choices"]
    usage = reply["usage"]

    assert set(reply) == {"choices", "created", "model", "object", "usage"}  # no id
    assert (reply["model"], reply["object"]) == (server.model, "chat.completion")
    assert (choice["index"], choice["logprobs"], choice["message"]["role"]) == (0, None, "assistant")
    assert choice["finish_reason"] in ("stop", "length")
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_tokens_are_limited_by_the_request(server: Ovms) -> None:
    reply = server.chat(max_completion_tokens=3, ignore_eos=True).json()

    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 3


def test_prompt_tokens_leave_the_image_out(server: Ovms) -> None:
    small = server.chat(asked(data_uri(RED))).json()["usage"]["prompt_tokens"]
    large = server.chat(asked(data_uri(png(560, 560, 200, 30, 30)))).json()["usage"]["prompt_tokens"]

    assert small == large


def test_greedy_answers_repeat(server: Ovms) -> None:
    first, second = (server.chat(asked(data_uri(RED))).json() for _ in range(2))

    assert first["choices"] == second["choices"]


def test_of_several_texts_the_last_wins(server: Ovms) -> None:
    last = server.chat([text_part("What is it?")]).json()
    several = server.chat([text_part("A long text before it"), text_part("What is it?")]).json()

    assert several["choices"] == last["choices"]
    assert several["usage"] == last["usage"]


def test_the_image_comes_before_the_text_wherever_it_stands(server: Ovms) -> None:
    before = server.chat([image_part(data_uri(RED)), text_part("What is it?")]).json()
    behind = server.chat([text_part("What is it?"), image_part(data_uri(RED))]).json()

    assert before["choices"] == behind["choices"]


def test_several_images_are_taken(server: Ovms) -> None:
    parts = [image_part(data_uri(RED)), image_part(data_uri(BLUE)), text_part("What is it?")]

    assert server.chat(parts).status_code == 200


def test_a_stream_is_server_sent_events_that_end_with_done(server: Ovms) -> None:
    answer = server.chat(asked(data_uri(RED)), stream=True)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert events(answer.text)[-1] == "[DONE]"


def test_the_chunks_of_a_stream_have_the_documented_shape(server: Ovms) -> None:
    *chunks, _ = events(server.chat(stream=True).text)
    for chunk in map(json.loads, chunks):
        assert set(chunk) == {"choices", "created", "model", "object"}
        assert (chunk["model"], chunk["object"]) == (server.model, "chat.completion.chunk")
        assert set(chunk["choices"][0]) == {"finish_reason", "index", "logprobs", "delta"}
    reasons = [json.loads(chunk)["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons[-1] in ("stop", "length")
    assert set(reasons[:-1]) <= {None}


def test_a_stream_gives_the_text_of_the_whole_answer(server: Ovms) -> None:
    whole = server.chat(asked(data_uri(RED))).json()["choices"][0]["message"]["content"]
    *chunks, _ = events(server.chat(asked(data_uri(RED)), stream=True).text)

    assert "".join(json.loads(chunk)["choices"][0]["delta"]["content"] for chunk in chunks) == whole


def test_usage_comes_in_a_chunk_of_its_own_if_asked(server: Ovms) -> None:
    whole = server.chat().json()["usage"]
    *chunks, last, _ = events(server.chat(stream=True, stream_options={"include_usage": True}).text)

    assert (json.loads(last)["choices"], json.loads(last)["usage"]) == ([], whole)
    assert {json.loads(chunk)["usage"] for chunk in chunks} == {None}


def test_a_client_that_goes_away_does_not_stop_the_server(server: Ovms) -> None:
    body = {
        "model": server.model,
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "ignore_eos": True,
        "max_completion_tokens": 1000,
    }
    headers = {"Authorization": f"Bearer {server.api_key}"}
    with requests.post(server.url + CHAT, json=body, headers=headers, stream=True, timeout=60) as answer:
        assert next(answer.iter_lines())

    assert server.chat().status_code == 200


@pytest.mark.parametrize(
    "name", ["unknown", "qwen/qwen2.5-vl-7b-instruct-ov-int8", "Qwen2.5-VL-7B-Instruct-ov-int8"]
)
def test_the_model_name_is_matched_exactly(server: Ovms, name: str) -> None:
    answer = server.chat(model=name)

    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "Mediapipe graph definition with requested name is not found"},
    )


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("{", "Cannot parse JSON body"),
        ("[]", "JSON body must be an object"),
        ("{}", "model field is missing in JSON body"),
        ('{"model": 1}', "model field is not a string"),
        ('{"model": "x", "stream": "yes"}', "stream field is not a boolean"),
        ('{"model": "x", "stream": null}', "stream field is not a boolean"),
    ],
)
def test_a_body_that_cannot_be_routed_is_412(server: Ovms, body: str, detail: str) -> None:
    answer = server.post(CHAT, raw=body.encode())

    assert (answer.status_code, answer.json()) == (
        412,
        {"error": f"The file is not valid json - {detail}"},
    )


def test_without_the_json_content_type_the_uri_names_the_model(server: Ovms) -> None:
    answer = server.post(CHAT, {"model": server.model}, Content_Type="text/plain")

    assert answer.status_code == 404


def test_a_vision_model_has_no_plain_completions(server: Ovms) -> None:
    answer = server.post("/v3/completions", {"model": server.model, "prompt": "x"})

    assert answer.status_code == 400
    assert "VLM Servable allowed only on /v3/chat/completions endpoint" in answer.json()["error"]


USER = [{"role": "user", "content": "x"}]
JPEG = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAKBueIx4ZKCMgoy0qqC+8P//8Nzc8P////////////////////////////////////"
    "//////////////////////2wBDAaq0tPDS8P//////////////////////////////////////////////////////////////"
    "////////////////wAARCAAgACADASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAL/xAAUEAEAAAAAAAAAAAAAAAAAAA"
    "AA/8QAFgEBAQEAAAAAAAAAAAAAAAAAAAED/8QAFBEBAAAAAAAAAAAAAAAAAAAAAP/aAAwDAQACEQMRAD8AkBGgAAAAAD//2Q=="
)
WEBP = "UklGRjAAAABXRUJQVlA4ICQAAABwAQCdASoCAAIADMDOJaACdAFAAAD+2iYRho1+LuxHGSQAAAA="


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"messages": ...}, "Messages missing in request"),
        ({"messages": {}}, "Messages are not an array"),
        ({"messages": []}, "Messages array cannot be empty"),
        ({"messages": ["x"]}, "Message is not a JSON object"),
        ({"messages": [{"content": "x"}]}, "Every message must have 'role' field"),
        ({"content": []}, "content array is empty"),
        ({"content": ["x"]}, "content array should contain objects"),
        ({"content": [{"text": "x"}]}, "content object type missing"),
        ({"content": [{"type": "text"}]}, "content text missing"),
        ({"content": [{"type": "image_url"}]}, "content image_url missing"),
        ({"content": [{"type": "image_url", "image_url": {}}]}, "image_url does not have url field"),
        ({"content": [{"type": "video_url", "video_url": {"url": "x"}}]}, "Unsupported content type"),
        ({"content": asked("data:image/png;base64,%%%%")}, "Invalid base64 string in request"),
        ({"content": asked(data_uri(b"no image"))}, "Image parsing failed"),
        ({"content": asked(f"data:image/webp;base64,{WEBP}")}, "Image parsing failed"),
        ({"content": asked("/etc/hostname")}, "Loading images from local filesystem is disabled."),
        ({"content": asked("http://127.0.0.1:1/x.png")}, "Image downloading failed"),
        ({"content": "<ov_genai_image_0> x"}, "restricted <ov_genai_image> tag"),
        ({"max_tokens": 0, "max_completion_tokens": ...}, "max_tokens value should be greater than 0"),
        ({"max_completion_tokens": 0}, "max_tokens value should be greater than 0"),
        ({"max_tokens": None}, "max_tokens is not an unsigned integer"),
        ({"max_tokens": -1}, "max_tokens is not an unsigned integer"),
        ({"max_tokens": 1.5}, "max_tokens is not an unsigned integer"),
        ({"max_tokens": 2**32}, "can't be greater than 4294967295"),
        ({"max_completion_tokens": "8"}, "max_completion_tokens is not an unsigned integer"),
        ({"temperature": 2.1}, "temperature out of range(0.0, 2.0)"),
        ({"temperature": "hot"}, "temperature is not a valid number"),
        ({"top_p": 1.5}, "top_p out of range(0.0, 1.0)"),
        ({"frequency_penalty": 3}, "frequency_penalty out of range(-2.0, 2.0)"),
        ({"n": 2}, "n value cannot be greater than best_of"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop array must have no more than 4 strings"),
        ({"stop": 1}, "stop is not a string or array of strings"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_calculator_refuses_is_400(
    server: Ovms, fields: dict[str, Any], says: str, stream: bool
) -> None:
    content = fields.get("content", "x")
    answer = server.chat(
        content, **{key: value for key, value in fields.items() if key != "content"}, stream=stream
    )

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].startswith(PARSE_FAILURE)
    assert says in answer.json()["error"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"stream_options": {"other": 1}}, "Found unexpected stream options"),
        ({"logprobs": True}, "logprobs are not supported in streaming mode."),
        ({"best_of": 2}, "best_of cannot be used in streaming mode"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage is not a boolean"),
        ({"include_stop_str_in_output": False}, "cannot be set to false if streaming is used"),
    ],
)
def test_what_only_a_stream_refuses(server: Ovms, fields: dict[str, Any], says: str) -> None:
    answer = server.chat(stream=True, **fields)

    assert answer.status_code == 400
    assert says in answer.json()["error"]


def bmp(side: int) -> bytes:
    pixels = bytes((30, 30, 200)) * side * side
    return (
        struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
        + pixels
    )


def test_stream_options_are_for_streams(server: Ovms) -> None:
    answer = server.chat(stream_options={"include_usage": True})

    assert answer.status_code == 400
    assert "stream_options provided, but stream not set to true" in answer.json()["error"]


def test_an_image_that_the_model_cannot_take_is_400(server: Ovms) -> None:
    assert server.chat(asked(data_uri(png(2, 2, 1, 1, 1)))).status_code == 400


@pytest.mark.parametrize(
    "url", [f"data:image/jpeg;base64,{JPEG}", data_uri(bmp(32), "image/bmp")], ids=["jpeg", "bmp"]
)
def test_jpeg_and_bmp_are_decoded_too(server: Ovms, url: str) -> None:
    answer = server.chat(asked(url))

    assert answer.status_code == 200, answer.text


def test_the_kind_before_base64_does_not_matter(server: Ovms) -> None:
    assert server.chat(asked(data_uri(RED, "application/x-anything"))).status_code == 200


def test_log_probabilities_are_given_for_each_token(server: Ovms) -> None:
    reply = server.chat(logprobs=True, max_completion_tokens=4, ignore_eos=True).json()

    assert len(reply["choices"][0]["logprobs"]["content"]) == 4
    assert all(entry["logprob"] <= 0 for entry in reply["choices"][0]["logprobs"]["content"])


def test_best_of_gives_n_answers(server: Ovms) -> None:
    reply = server.chat(best_of=3, n=2, max_completion_tokens=4).json()

    assert [choice["index"] for choice in reply["choices"]] == [0, 1]


def test_a_local_image_is_read_below_the_allowed_directory(single: Container) -> None:
    (single.models / "media/red.png").write_bytes(RED)

    assert single.server.chat(asked("/models/media/red.png")).status_code == 200


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/models/key", "Given filepath is not subpath of allowed_local_media_path"),
        ("/models/media/../key", "escape with .. is forbidden"),
        ("/models/media/none.png", "parsing failed"),
    ],
)
def test_other_local_files_are_refused(single: Container, path: str, says: str) -> None:
    answer = single.server.chat(asked(path))

    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_max_tokens_must_be_below_the_limit_of_the_graph(single: Container) -> None:
    answer = single.server.chat(max_tokens=8, max_completion_tokens=...)

    assert answer.status_code == 400
    assert "max_tokens exceeds limit provided in graph config: 8" in answer.json()["error"]


@pytest.mark.parametrize(("tokens", "status"), [(8, 200), (9, 400)])
def test_max_completion_tokens_may_equal_the_limit(single: Container, tokens: int, status: int) -> None:
    assert single.server.chat(max_completion_tokens=tokens).status_code == status


def test_the_limit_is_the_default(single: Container) -> None:
    reply = single.server.chat(max_completion_tokens=..., ignore_eos=True).json()

    assert reply["usage"]["completion_tokens"] == 8


def test_best_of_is_limited_by_the_graph(single: Container) -> None:
    answer = single.server.chat(best_of=3)

    assert answer.status_code == 400
    assert "best_of exceeds limit provided in graph config: 3" in answer.json()["error"]
