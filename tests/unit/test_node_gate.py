"""The gate against real HTTP answers; the engine's part is an object with the calls that the gate makes."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.node.docker import Docker
from ovms_edge.node.gate import run_gate
from ovms_edge.node.gate_report import GateReport, Target
from ovms_edge.node.probe import questions
from ovms_edge.node.settings import parse_server_settings
from tests.unit.node_depot import manifest_of
from tests.unit.node_ovms import SERVABLE, FakeOvms, config_entry, events, serve

CHAT = "/v3/chat/completions"
STARTED = "2026-01-01T00:00:00.123456789Z"
SPEC = "5bec" * 16
DEVICES = "[serving][info][modelmanager.cpp:156] Available devices for Open VINO: CPU, GPU"


class FakeEngine:
    def __init__(self) -> None:
        self.status = "running"
        self.labels = {"ovms-edge.spec": SPEC, "ovms-edge.release": "vlm@1.0.0"}
        self.restarts = 0
        self.log = ["OpenVINO Model Server", DEVICES]
        self.since = ""
        self.inspections = 0
        self.crash_at_inspection = 0

    def container(self, name: str) -> dict[str, Any] | None:
        self.inspections += 1
        if self.inspections == self.crash_at_inspection:
            self.restarts += 1
        state = {
            "Status": self.status,
            "ExitCode": 137,
            "OOMKilled": self.status == "exited",
            "StartedAt": STARTED,
        }
        if self.status == "none":
            return None
        return {"Config": {"Labels": self.labels}, "State": state, "RestartCount": self.restarts}

    def log_lines(self, name: str, since: str = "0", tail: str = "all") -> Iterator[str]:
        self.since = since
        yield from self.log


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def ovms() -> Iterator[FakeOvms]:
    listed = b'{"object":"list","data":[{"id":"Qwen/tiny"}],"object":"list"}'
    answers = {"/v3/models": (200, listed), CHAT: (200, events("a red", " square"))}
    with serve(FakeOvms(configs=[config_entry()], answers=answers)) as fake:
        yield fake


@pytest.fixture
def target(ovms: FakeOvms, tmp_path: Path) -> Target:
    settings = parse_server_settings({"image": "i:1", "servable": SERVABLE})
    url = f"http://127.0.0.1:{ovms.port}"
    return Target(settings, manifest_of({"a.bin": b"1"}), tmp_path, 4, SPEC, "ovms-vlm-a", url, tier="B")


def gate(engine: FakeEngine, target: Target, wait: float = 0) -> GateReport:
    return run_gate(cast(Docker, engine), target, wait)


def test_a_server_that_answers_passes(engine: FakeEngine, target: Target, ovms: FakeOvms) -> None:
    document = gate(engine, target).document
    assert document["ok"]
    assert [check["id"] for check in document["checks"]] == [
        "container",
        "state",
        "listed",
        "device",
        "answer",
    ]
    assert (document["state"], document["cache_size"], document["restarts"]) == ("AVAILABLE", 4, 0)
    assert document["tier"] == "B"
    assert 0 <= document["first_token_seconds"] <= document["total_seconds"]
    assert engine.since == "1767225600.123456789"
    assert ovms.requests[0]["messages"][0]["content"][0]["type"] == "image_url"
    assert ovms.requests[0]["temperature"] == 0


def failure(report: GateReport, check: str) -> str:
    assert not report.ok
    assert [entry.id for entry in report.checks if not entry.ok] == [check]
    document = report.document
    assert document["remedy"]
    return str(document["reason"])


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("none", "no container ovms-vlm-a"),
        ("exited", r"is exited, exit code 137 (out of memory)"),
        ("restarting", "is restarting"),
    ],
)
def test_a_container_that_does_not_run_fails(
    engine: FakeEngine, target: Target, status: str, reason: str
) -> None:
    engine.status = status
    assert reason in failure(gate(engine, target), "container")


@pytest.mark.parametrize(
    ("labels", "holds"),
    [
        (
            {"ovms-edge.spec": "e" * 64, "ovms-edge.release": "vlm@2.0.0"},
            r"holds vlm@2.0.0 (spec eeeeeeeeeeee)",
        ),
        ({}, "holds no release of ours (spec none)"),
    ],
)
def test_a_container_that_an_interrupted_activation_left_is_not_vouched_for(
    engine: FakeEngine, target: Target, labels: dict[str, str], holds: str
) -> None:
    engine.labels = labels
    report = gate(engine, target)
    reason = failure(report, "container")
    assert holds in reason
    assert "not vlm@1.0.0 (spec 5bec5bec5bec): an activation was interrupted" in reason
    assert report.failure
    assert report.failure[1] == "call ovms-node activate again"


def test_a_failed_load_ends_the_wait_at_once(engine: FakeEngine, target: Target, ovms: FakeOvms) -> None:
    ovms.configs = [{}, config_entry("LOADING"), config_entry("LOADING", "FAILED_PRECONDITION")]
    engine.log += [
        "[..][error][f.cpp:1] Error during initialization exception: core:97:",
        "Incorrect weights!",
    ]
    said = failure(gate(engine, target, wait=60), "state")
    assert said.endswith("LOADING, FAILED_PRECONDITION: core:97: Incorrect weights!")


def test_a_load_that_takes_its_time_is_waited_for(engine: FakeEngine, target: Target, ovms: FakeOvms) -> None:
    ovms.configs = [{}, {}, config_entry("LOADING"), config_entry()]
    assert gate(engine, target, wait=60).ok


def test_a_server_that_restarts_while_it_loads_ends_the_wait(
    engine: FakeEngine, target: Target, ovms: FakeOvms
) -> None:
    ovms.configs = [{}]
    engine.crash_at_inspection = 3
    assert "ended and was started again" in failure(gate(engine, target, wait=60), "state")


def test_a_load_that_never_ends_is_given_up(engine: FakeEngine, target: Target, ovms: FakeOvms) -> None:
    ovms.configs = [{}]
    assert "not AVAILABLE after 0.3 s: OVMS does not list it yet" in failure(
        gate(engine, target, 0.3), "state"
    )


def test_another_servable_does_not_pass(engine: FakeEngine, target: Target, ovms: FakeOvms) -> None:
    ovms.configs = [{"other": config_entry()[SERVABLE]}]
    failure(gate(engine, target), "state")


def test_a_servable_that_is_not_listed_fails(engine: FakeEngine, target: Target, ovms: FakeOvms) -> None:
    ovms.answers["/v3/models"] = (200, b'{"data": []}')
    assert "lists nothing" in failure(gate(engine, target), "listed")


@pytest.mark.parametrize(
    ("wanted", "logged", "good"),
    [
        ("GPU", "CPU, GPU", True),
        ("GPU", "CPU, GPU.0, GPU.1", True),
        ("GPU.1", "CPU, GPU.0, GPU.1", True),
        ("GPU.1", "CPU, GPU", False),
        ("GPU", "CPU", False),
        ("CPU", "CPU", True),
    ],
)
def test_the_device_that_the_graph_asks_for_must_be_there(
    engine: FakeEngine, target: Target, wanted: str, logged: str, good: bool
) -> None:
    engine.log = [f"Available devices for Open VINO: {logged}"]
    report = gate(engine, replace(target, settings=replace(target.settings, device=wanted)))
    assert report.ok is good
    if not good:
        assert wanted in failure(report, "device")


def test_a_rotated_log_is_made_up_for_by_what_was_seen_at_the_same_start(
    engine: FakeEngine, target: Target
) -> None:
    engine.log = []
    failure(gate(engine, target), "device")
    assert gate(engine, replace(target, known_devices=("CPU", "GPU"), known_start=STARTED)).ok
    failure(gate(engine, replace(target, known_devices=("CPU", "GPU"), known_start="before")), "device")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (events("a", model="other"), "came from 'other'"),
        (events("a", finish="tool_calls"), "ended with 'tool_calls'"),
        (events(), "ended with 'nothing'"),
        (events("a", tokens=0), "has no tokens"),
    ],
)
def test_a_wrong_answer_fails(
    engine: FakeEngine, target: Target, ovms: FakeOvms, answer: bytes, reason: str
) -> None:
    ovms.answers[CHAT] = (200, answer)
    assert reason in failure(gate(engine, target), "answer")


def test_a_server_that_cannot_answer_fails(engine: FakeEngine, target: Target, ovms: FakeOvms) -> None:
    ovms.answers[CHAT] = (500, b'{"error": "Mediapipe execution failed"}')
    assert "answered 500: Mediapipe execution failed" in failure(gate(engine, target), "answer")


def golden(target: Target, **entry: object) -> Target:
    question = {"id": "square", "prompt": "What is it?", "images": ["a.png"], **entry}
    manifest = manifest_of({"a.png": b"png"}, golden=(question,))
    (target.release_directory / "a.png").write_bytes(b"png")
    return replace(target, manifest=manifest)


def test_the_golden_set_is_asked_where_there_is_one(
    engine: FakeEngine, target: Target, ovms: FakeOvms
) -> None:
    assert gate(engine, golden(target, expect={"contains": ["Red", "square"]})).ok
    image, text = ovms.requests[1]["messages"][0]["content"]
    assert image["image_url"]["url"] == f"data:image/png;base64,{base64.b64encode(b'png').decode()}"
    assert text["text"] == "What is it?"


def test_an_answer_without_what_it_must_contain_fails(engine: FakeEngine, target: Target) -> None:
    wrong = golden(target, expect={"contains": ["blue"]})
    assert "lacks blue: 'a red square'" in failure(gate(engine, wrong), "answer")


@pytest.mark.parametrize(
    "entry",
    [
        {"images": ["b.png"]},
        {"images": ["../a.png"]},
        {"prompt": None},
        {"max_completion_tokens": "x"},
        {"image": "a.png"},
        {"expect": {"contain": ["red"]}},
    ],
)
def test_a_golden_set_that_is_not_readable_is_an_error(target: Target, entry: dict[str, object]) -> None:
    broken = golden(target, **entry)
    with pytest.raises(EdgeError, match="golden set"):
        questions(broken.manifest, broken.release_directory, SERVABLE)


def test_the_built_in_picture_is_a_png(target: Target) -> None:
    (question,) = questions(target.manifest, target.release_directory, SERVABLE)
    url = question.body["messages"][0]["content"][0]["image_url"]["url"]
    data = base64.b64decode(url.partition("base64,")[2])
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    position, chunks = 8, {}
    while position < len(data):
        (size,) = struct.unpack_from(">I", data, position)
        kind, content = data[position + 4 : position + 8], data[position + 8 : position + 8 + size]
        (crc,) = struct.unpack_from(">I", data, position + 8 + size)
        assert crc == zlib.crc32(kind + content)
        chunks[kind] = content
        position += size + 12
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + 3 * width)


@pytest.mark.parametrize(
    ("model", "content", "finish", "tokens"),
    [
        ("Qwen/tiny", "red", "stop", "null"),
        ("Qwen/tiny", "red", "stop", '"2"'),
        (None, "red", "stop", "2"),
        ("Qwen/tiny", 7, "stop", "2"),
        ("Qwen/tiny", "red", 7, "2"),
    ],
)
def test_an_answer_of_other_types_than_ovms_sends_fails_the_gate(
    engine: FakeEngine,
    target: Target,
    ovms: FakeOvms,
    model: object,
    content: object,
    finish: object,
    tokens: str,
) -> None:
    event = json.dumps(
        {
            "model": model,
            "choices": [{"delta": {"content": content}, "finish_reason": finish}],
            "usage": {"completion_tokens": json.loads(tokens)},
        }
    )
    ovms.answers[CHAT] = (200, f"data: {event}\n\ndata: [DONE]\n\n".encode())
    assert "is not what OVMS answers" in failure(gate(engine, target), "answer")


def test_the_first_question_does_not_count(engine: FakeEngine, target: Target, ovms: FakeOvms) -> None:
    document = gate(engine, golden(target, repeat=3)).document
    assert document["ok"]
    assert len(ovms.requests) == 4
    assert document["warm_up_seconds"] > 0
    assert [answer["id"] for answer in document["answers"]] == ["square"]
    assert document["total_seconds"] == document["answers"][0]["total_seconds"]


def test_a_blank_answer_fails_whatever_is_expected(
    engine: FakeEngine, target: Target, ovms: FakeOvms
) -> None:
    ovms.answers[CHAT] = (200, events(" ", "\n"))
    assert "the answer to 'probe' is blank" in failure(gate(engine, target), "answer")


def test_a_late_answer_fails(engine: FakeEngine, target: Target, ovms: FakeOvms) -> None:
    ovms.seconds_to_answer = 0.2
    late = failure(gate(engine, golden(target, expect={"total_seconds": 0.1})), "answer")
    assert "the answer to 'square' had its end after" in late
    assert gate(engine, golden(target, expect={"total_seconds": 10})).ok


def test_an_answer_much_later_than_in_the_last_good_run_fails(
    engine: FakeEngine, target: Target, ovms: FakeOvms
) -> None:
    asked = golden(target, expect={"total_ratio": 2})
    times = gate(engine, asked).times
    assert gate(engine, replace(asked, last_good=times)).ok
    ovms.seconds_to_answer = 1.2
    assert gate(engine, asked).ok
    late = failure(gate(engine, replace(asked, last_good=times)), "answer")
    assert "more than 2 times the" in late


def test_a_server_that_ends_while_it_is_asked_is_named_as_that(
    engine: FakeEngine, target: Target, ovms: FakeOvms
) -> None:
    ovms.answers[CHAT] = (200, b"")  # the stream breaks
    engine.crash_at_inspection = engine.inspections + 2
    reason = failure(gate(engine, target), "answer")
    assert reason == "OVMS ended and was started again in container ovms-vlm-a, asked for warm-up"


def test_a_server_that_restarted_between_questions_fails(engine: FakeEngine, target: Target) -> None:
    engine.crash_at_inspection = 2
    assert "OVMS ended and was started again" in failure(gate(engine, target), "answer")
