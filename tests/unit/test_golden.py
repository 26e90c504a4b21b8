"""Golden sets: read, judged, recorded, and built into a release."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.cli import main
from ovms_edge.errors import EdgeError
from ovms_edge.golden import Case, Expectation, Times, fault_of, lateness_of, question_key, read_case
from ovms_edge.manifest import Manifest
from ovms_edge.release.golden import read_golden
from tests.unit.node_ovms import SERVABLE, FakeOvms, events, serve
from tests.unit.release_model import write_model

CHAT = "/v3/chat/completions"
CASE: dict[str, Any] = {"id": "tray", "prompt": "What?", "images": ["tray.png"]}


def write_set(directory: Path, *cases: dict[str, Any], schema: str = "ovms-edge.golden/1") -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "golden.json").write_text(json.dumps({"schema": schema, "cases": list(cases)}))
    (directory / "tray.png").write_bytes(b"png")
    return directory


@pytest.fixture
def ovms() -> Iterator[FakeOvms]:
    listed = json.dumps({"object": "list", "data": [{"id": SERVABLE}]}).encode()
    with serve(FakeOvms(answers={"/v3/models": (200, listed), CHAT: (200, events("a ", "burger"))})) as fake:
        yield fake


def test_a_case_is_what_it_was_written_from() -> None:
    full = {
        **CASE,
        "max_completion_tokens": 5,
        "repeat": 20,
        "expect": {"text": "", "contains": ["a"], "matches": "b", "json_schema": {}, "total_ratio": 2},
    }
    assert read_case(full).document() == full
    assert read_case(CASE).document() == {**CASE, "max_completion_tokens": 64}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"id": ""}, "id is missing"),
        ({"id": "a b"}, "id is missing or not usable"),
        ({"prompt": ""}, "prompt"),
        ({"images": []}, "images"),
        ({"images": "tray.png"}, "images"),
        ({"images": ["/tray.png"]}, "images"),
        ({"images": ["a/../tray.png"]}, "images"),
        ({"images": ["tray.webp"]}, "images"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"repeat": True}, "repeat"),
        ({"answer": "x"}, "answer is not known"),
        ({"expect": []}, "expect is []"),
        ({"expect": {"contain": []}}, "contain is not known"),
        ({"expect": {"contains": "a"}}, "contains"),
        ({"expect": {"contains": [""]}}, "contains"),
        ({"expect": {"text": 1}}, "text"),
        ({"expect": {"matches": "("}}, "matches"),
        ({"expect": {"json_schema": {"anyOf": []}}}, "anyOf"),
        ({"expect": {"total_seconds": 0}}, "total_seconds"),
        ({"expect": {"first_token_ratio": "2"}}, "first_token_ratio"),
    ],
)
def test_a_case_that_is_wrong_is_refused_by_the_key(change: dict[str, Any], what: str) -> None:
    with pytest.raises(EdgeError) as caught:
        read_case({**CASE, **change})
    assert what in caught.value.reason
    assert caught.value.remedy.startswith("write ")


@pytest.mark.parametrize(
    ("expect", "content", "fault"),
    [
        (Expectation(), "anything", None),
        (Expectation(text="a burger"), "a burger", None),
        (Expectation(text="a burger"), "a burger.", "is 'a burger.', not 'a burger'"),
        (Expectation(text=""), "a", "is 'a', not ''"),
        (Expectation(contains=("Burger", "cola")), "cola, burger", None),
        (Expectation(contains=("cola",)), "burger", "lacks cola: 'burger'"),
        (Expectation(matches=r"\d+ items"), "has 2 items", None),
        (Expectation(matches=r"^\d"), "two", "does not match"),
        (Expectation(json_schema={"required": ["items"]}), '{"items": 1}', None),
        (Expectation(json_schema={"required": ["items"]}), '```json\n{"items": 1}\n```', None),
        (Expectation(json_schema={"required": ["items"]}), "{}", "is not as its schema says: $ lacks items"),
        (Expectation(json_schema={}), "Sure! {}", "is not JSON"),
    ],
)
def test_an_answer_is_judged(expect: Expectation, content: str, fault: str | None) -> None:
    found = fault_of(expect, content)
    assert found == fault if fault is None else found is not None and fault in found


@pytest.mark.parametrize(
    ("expect", "last_good", "late"),
    [
        (Expectation(), None, None),
        (Expectation(first_token_seconds=2, total_seconds=10), None, None),
        (Expectation(first_token_seconds=1.9), None, "had its first token after 2.00 s, allowed are 1.9 s"),
        (Expectation(total_seconds=9), None, "had its end after 10.00 s, allowed are 9 s"),
        (Expectation(total_ratio=2), None, None),
        (Expectation(total_ratio=2), Times(1, 4.5), None),
        (Expectation(total_ratio=2), Times(1, 4.4), "more than 2 times the 4.40 s"),
        (Expectation(first_token_ratio=2), Times(0.4, 10), "had its first token"),
        (Expectation(first_token_ratio=2), Times(None, 10), None),
    ],
)
def test_a_late_answer_is_named_with_its_bound(
    expect: Expectation, last_good: Times | None, late: str | None
) -> None:
    found = lateness_of(expect, Times(2.0, 10.0), last_good)
    assert found == late if late is None else found is not None and late in found


def test_the_times_of_another_question_are_no_measure() -> None:
    case, images = Case("a", "What?", ("t.png",)), {"t.png": b"png"}
    key = question_key(case, images)
    assert key == question_key(replace(case, id="b", expect=Expectation(text="x")), images)
    others = [replace(case, prompt="Who?"), replace(case, max_completion_tokens=1)]
    assert key not in {question_key(other, images) for other in others}
    assert key != question_key(case, {"t.png": b"other"})


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", "is not JSON"),
        ("[]", "is no golden set"),
        ('{"schema": "ovms-edge.golden/2", "cases": []}', "is no golden set"),
        ('{"schema": "ovms-edge.golden/1", "cases": []}', "has no cases"),
        ('{"schema": "ovms-edge.golden/1", "cases": [1]}', "golden case is 1"),
    ],
)
def test_a_file_that_is_no_set_is_refused(tmp_path: Path, content: str, what: str) -> None:
    (tmp_path / "golden.json").write_text(content)
    with pytest.raises(EdgeError) as caught:
        read_golden(tmp_path)
    assert what in caught.value.reason
    assert str(tmp_path / "golden.json") in caught.value.reason


def test_a_set_with_two_cases_of_one_name_or_without_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="two cases 'tray'"):
        read_golden(write_set(tmp_path, CASE, CASE))
    with pytest.raises(EdgeError, match=r"gone\.png is not a file"):
        read_golden(write_set(tmp_path, {**CASE, "images": ["gone.png"]}))
    with pytest.raises(EdgeError, match="cannot be read"):
        read_golden(tmp_path / "nowhere")


def test_a_release_carries_its_golden_set(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    golden = write_set(tmp_path / "golden", {**CASE, "expect": {"contains": ["burger"]}})
    arguments = ["release", "build", "--model", str(model), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--release", "vlm@1.0.0", "--golden", str(golden)]) == 0
    directory = tmp_path / "out" / "vlm" / "1.0.0"
    manifest = Manifest.from_bytes((directory / "manifest.json").read_bytes())
    (entry,) = manifest.golden
    assert read_case(entry).images == ("golden/tray.png",)
    assert entry["expect"] == {"contains": ["burger"]}
    assert "golden/tray.png" in {file.path for file in manifest.files}
    assert (directory / "golden" / "tray.png").read_bytes() == b"png"
    # the same again is the same; another expectation is another release
    assert main([*arguments, "--release", "vlm@1.0.0", "--golden", str(golden)]) == 0
    write_set(golden, CASE)
    assert main([*arguments, "--release", "vlm@1.0.0", "--golden", str(golden)]) == 1


def test_a_model_directory_with_a_golden_directory_of_its_own_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model")
    (model / "golden").mkdir()
    (model / "golden" / "other.png").write_bytes(b"png")
    golden = write_set(tmp_path / "golden", CASE)
    build = ["release", "build", "--model", str(model), "--output", str(tmp_path / "out")]
    assert main([*build, "--release", "vlm@1.0.0", "--golden", str(golden)]) == 1
    assert "golden/other.png, where the images of the golden set go" in capsys.readouterr().err


def record(directory: Path, ovms: FakeOvms, *arguments: str) -> int:
    return main(["release", "record", str(directory), "--url", f"http://127.0.0.1:{ovms.port}", *arguments])


def test_a_set_is_recorded_from_images_and_a_prompt(tmp_path: Path, ovms: FakeOvms) -> None:
    (tmp_path / "tray-1.png").write_bytes(b"one")
    (tmp_path / "tray-2.JPG").write_bytes(b"two")
    (tmp_path / "notes.txt").write_text("no image")
    assert record(tmp_path, ovms, "--prompt", "What is on it?", "--latency-factor", "3") == 0
    recorded = read_golden(tmp_path)
    assert [case.id for case in recorded.cases] == ["tray-1", "tray-2"]
    for case in recorded.cases:
        assert (case.prompt, case.expect.text) == ("What is on it?", "a burger")
        assert case.expect.total_seconds is not None
        assert case.expect.total_seconds > 0
    assert ovms.requests[0]["temperature"] == 0
    assert len(ovms.requests) == 4


def test_what_has_an_expectation_is_not_recorded_again(tmp_path: Path, ovms: FakeOvms) -> None:
    write_set(tmp_path, {**CASE, "expect": {"matches": "x"}}, {**CASE, "id": "new"})
    assert record(tmp_path, ovms) == 0
    first, second = read_golden(tmp_path).cases
    assert first.expect == Expectation(matches="x")
    assert second.expect == Expectation(text="a burger")
    assert len(ovms.requests) == 2


@pytest.mark.parametrize("texts", [("",), ("  \n",)])
def test_a_blank_answer_is_not_recorded(
    tmp_path: Path, ovms: FakeOvms, capsys: pytest.CaptureFixture[str], texts: tuple[str, ...]
) -> None:
    ovms.answers[CHAT] = (200, events(*texts))
    before = (write_set(tmp_path, CASE) / "golden.json").read_bytes()
    assert record(tmp_path, ovms) == 1
    assert "case 'tray' has a blank answer" in capsys.readouterr().err
    assert (tmp_path / "golden.json").read_bytes() == before


def test_record_says_what_it_needs(
    tmp_path: Path, ovms: FakeOvms, capsys: pytest.CaptureFixture[str]
) -> None:
    assert record(tmp_path, ovms) == 2
    assert "or give --prompt" in capsys.readouterr().err
    assert record(tmp_path, ovms, "--prompt", "What?") == 1
    assert f"no image in {tmp_path}" in capsys.readouterr().err
    write_set(tmp_path, CASE)
    assert record(tmp_path, ovms, "--prompt", "What?") == 2
    assert "is there already" in capsys.readouterr().err
    assert record(tmp_path, ovms, "--timeout", "0") == 2
    assert "--timeout is 0" in capsys.readouterr().err
    ovms.answers["/v3/models"] = (200, b'{"data": [{"id": "a"}, {"id": "b"}]}')
    assert record(tmp_path, ovms) == 1
    assert "the server lists a, b\n  remedy: name one with --servable" in capsys.readouterr().err
