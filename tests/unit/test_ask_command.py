from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ovms_edge.cli import main
from tests.unit.node_ovms import SERVABLE, FakeOvms, events, serve

CHAT = "/v3/chat/completions"
PIXEL = b"BM:\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0\0\0\0\0\x04\0\0\0" + bytes(20)


@pytest.fixture
def ovms() -> Iterator[FakeOvms]:
    with serve(FakeOvms()) as fake:
        fake.answers["/v3/models"] = (200, json.dumps({"data": [{"id": SERVABLE}]}).encode())
        fake.answers[CHAT] = (200, events("a tray", " with soup"))
        yield fake


def ask(ovms: FakeOvms, *words: str) -> int:
    return main(["ask", "--url", f"http://127.0.0.1:{ovms.port}", *words])


def test_the_answer_goes_to_stdout_and_its_times_to_stderr(
    ovms: FakeOvms, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(ovms, "What is it?") == 0
    shown = capsys.readouterr()
    assert shown.out == "a tray with soup\n"
    assert shown.err.startswith("first token 0.")
    assert shown.err.endswith(" s, 2 tokens\n")


def test_images_are_sent_before_the_one_text(ovms: FakeOvms, tmp_path: Path) -> None:
    for name in ("a.bmp", "b.bmp"):
        (tmp_path / name).write_bytes(PIXEL)
    images = ("--image", str(tmp_path / "a.bmp"), "--image", str(tmp_path / "b.bmp"))
    assert ask(ovms, *images, "--max-tokens", "9", "Which?") == 0
    (request,) = ovms.requests
    assert [part["type"] for part in request["messages"][0]["content"]] == ["image_url", "image_url", "text"]
    assert (request["model"], request["max_completion_tokens"], request["stream"]) == (SERVABLE, 9, True)


def test_json_is_one_document(ovms: FakeOvms, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(ovms, "--json", "What?") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["content"], document["completion_tokens"]) == ("a tray with soup", 2)
    assert 0 <= document["first_token_seconds"] <= document["total_seconds"]


def test_an_answer_in_one_piece_has_no_first_token(
    ovms: FakeOvms, capsys: pytest.CaptureFixture[str]
) -> None:
    choice = {"finish_reason": "length", "index": 0, "message": {"content": "soup", "role": "assistant"}}
    usage = {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
    document = {"choices": [choice], "model": SERVABLE, "usage": usage}
    ovms.answers[CHAT] = (200, json.dumps(document).encode())
    assert ask(ovms, "--no-stream", "--max-tokens", "4", "What?") == 0
    shown = capsys.readouterr()
    assert shown.out == "soup\n"
    assert "first token" not in shown.err
    assert shown.err.endswith("4 tokens, cut off at --max-tokens 4\n")


def test_the_prompt_may_come_from_standard_input(ovms: FakeOvms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from a file\n"))
    assert ask(ovms, "-") == 0
    assert ovms.requests[0]["messages"][0]["content"][-1] == {"type": "text", "text": "from a file"}


@pytest.mark.parametrize(
    ("listed", "said"), [([], "nothing is AVAILABLE"), (["a", "b"], "several models: a, b")]
)
def test_without_a_name_there_has_to_be_one_model(
    ovms: FakeOvms, capsys: pytest.CaptureFixture[str], listed: list[str], said: str
) -> None:
    ovms.answers["/v3/models"] = (200, json.dumps({"data": [{"id": name} for name in listed]}).encode())
    assert ask(ovms, "What?") == 1
    assert said in capsys.readouterr().err
    assert ovms.requests == []


def test_a_model_that_is_not_served_is_told_from_other_refusals(
    ovms: FakeOvms, capsys: pytest.CaptureFixture[str]
) -> None:
    ovms.answers[CHAT] = (404, b'{"error": "Mediapipe graph definition with requested name is not found"}')
    assert ask(ovms, "--model", "Qwen/other", "What?") == 1
    assert f"Qwen/other is not served there; {SERVABLE} is" in capsys.readouterr().err
    ovms.answers[CHAT] = (400, b'{"error": "Mediapipe execution failed. MP status - INVALID_ARGUMENT"}')
    assert ask(ovms, "--model", SERVABLE, "What?") == 1
    assert "answered 400: Mediapipe execution failed" in capsys.readouterr().err


def test_the_key_is_the_first_line_of_its_file(
    ovms: FakeOvms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"
    for content, status in (("secret \nnote\n", 0), ("\nsecret\n", 1), ("", 1)):
        file.write_text(content)
        assert ask(ovms, "--api-key-file", str(file), "What?") == status
    shown = capsys.readouterr().err
    assert f"the first line of {file} is empty" in shown
    assert "secret" not in shown
    assert ovms.keys == ["Bearer secret"]


def test_without_a_key_none_is_sent(ovms: FakeOvms) -> None:
    assert ask(ovms, "What?") == 0
    assert ovms.keys == [None]


def test_answers_are_those_of_greedy_decoding(ovms: FakeOvms) -> None:
    assert ask(ovms, "What?") == 0
    assert ovms.requests[0]["temperature"] == 0


def test_an_answer_that_takes_longer_than_the_timeout_is_an_error(
    ovms: FakeOvms, capsys: pytest.CaptureFixture[str]
) -> None:
    ovms.seconds_to_answer = 3.0
    assert ask(ovms, "--timeout", "0.3", "What?") == 1
    assert "within 0.3 s" in capsys.readouterr().err


def test_a_large_image_is_sent_with_a_hint(
    ovms: FakeOvms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (4000, 3000)).save(tmp_path / "photo.png")
    assert ask(ovms, "--image", str(tmp_path / "photo.png"), "What?") == 0
    assert "hint: " in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_an_output_that_is_full_is_not_the_servers_fault(ovms: FakeOvms, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "ovms_edge.cli", "ask", "--url", f"http://127.0.0.1:{ovms.port}"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, *words, "What?"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        )
    assert done.returncode == 1
    assert done.stderr.startswith("ovms-edge: standard output cannot be written: No space left")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((" ",), "the prompt is empty"),
        (("--max-tokens", "0", "What?"), "have to be positive"),
        (("--timeout", "-1", "What?"), "have to be positive"),
        (("-i", "hosts.yml", "What?"), "add --store NAME"),
    ],
)
def test_a_call_that_makes_no_sense_is_a_usage_error(
    ovms: FakeOvms, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert ask(ovms, *words) == 2
    assert said in capsys.readouterr().err
    assert ovms.requests == []


def test_an_image_that_ovms_does_not_decode_is_never_sent(
    ovms: FakeOvms, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"RIFF\x10\0\0\0WEBPVP8 ")
    assert ask(ovms, "--image", str(tmp_path / "a.jpg"), "What?") == 1
    assert "a.jpg is WEBP" in capsys.readouterr().err
    assert ovms.requests == []


def test_nobody_there_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "--url", "http://127.0.0.1:9", "What?"]) == 1
    assert "does not answer GET /v3/models" in capsys.readouterr().err
