from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from ovms_edge.export import local_models
from ovms_edge.export.local_models import Wanted, copies, main, trouble
from tests.unit.release_model import SOURCE, write_model

NAME = "Qwen/VL-ov-int8"
WANTED = Wanted(NAME, "Qwen/VL", "int8")


DOCUMENTS = ("generation_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")


def model_in(directory: Path) -> Path:
    """Write a whole model with its graph and no record, as another tool exports it."""
    write_model(directory)
    for name in DOCUMENTS:
        (directory / name).write_text("{}")
    (directory / "chat_template.jinja").write_text("{{ messages }}")
    (directory / "export.json").unlink()
    return directory


def record_in(
    directory: Path, fields: dict[str, str] | None = None, files: dict[str, bytes] | None = None
) -> Path:
    """Write ``export.json`` with ``fields``, and digests of ``files`` as they were at the export."""
    digests = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in (files or {}).items()
    }
    record = {**SOURCE, "options": {}, **(fields or {}), "files": digests}
    (directory / "export.json").write_text(json.dumps(record))
    return directory


def repository(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def state(capsys: pytest.CaptureFixture[str], models: Path) -> str:
    assert main(["state", "--repository", str(models), "--name", NAME]) == 0
    return capsys.readouterr().out.strip()


def test_a_model_that_is_not_there_is_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert state(capsys, repository(tmp_path)) == "absent"


def test_a_whole_model_is_served_from_then_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = repository(tmp_path)
    model_in(models / NAME)
    assert state(capsys, models) == "whole"
    config = json.loads((models / "config.json").read_text())
    assert config["model_config_list"] == [{"config": {"name": NAME, "base_path": NAME}}]


def test_what_a_kill_left_between_two_renames_is_put_back_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = repository(tmp_path)
    model_in(models / "Qwen/.VL-ov-int8.replaced")
    assert state(capsys, models) == "whole"
    assert [path.name for path in (models / "Qwen").iterdir() if path.is_dir()] == ["VL-ov-int8"]


def test_a_truncated_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = repository(tmp_path)
    (model_in(models / NAME) / "openvino_language_model.bin").write_bytes(b"")
    assert "openvino_language_model.bin" in state(capsys, models)
    assert not (models / "config.json").exists()


def test_a_changed_byte_is_found_by_the_digest_of_the_export(tmp_path: Path) -> None:
    model = model_in(tmp_path / "model")
    weights = model / "openvino_language_model.bin"
    content = weights.read_bytes()
    record_in(model, files={weights.name: content})
    assert trouble(model) is None
    weights.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert str(weights) in str(trouble(model))


def test_the_graph_may_be_edited(tmp_path: Path) -> None:
    model = record_in(model_in(tmp_path / "model"), files={"graph.pbtxt": b"as exported"})
    assert trouble(model) is None


def test_a_model_without_its_graph_is_not_whole(tmp_path: Path) -> None:
    model = model_in(tmp_path / "model")
    (model / "graph.pbtxt").unlink()
    assert trouble(model) == f"{model / 'graph.pbtxt'} is missing"


@pytest.mark.parametrize(
    ("place", "record"),
    [
        (f"repository/{NAME}", {}),
        ("releases/vlm/1.0.0", {"model": "Qwen/VL", "weight_format": "int8"}),
    ],
    ids=["by name", "by its record"],
)
def test_a_copy_is_told(tmp_path: Path, place: str, record: dict[str, str]) -> None:
    copy = model_in(tmp_path / place)
    if record:
        record_in(copy, record)
    assert list(copies(WANTED, [tmp_path / place.split("/")[0]])) == [(copy, None)]


def test_a_release_is_told_by_the_source_in_its_manifest(tmp_path: Path) -> None:
    release = model_in(tmp_path / "vlm/1.0.0")
    (release / "graph.pbtxt").unlink()
    manifest = {"source": {"model": "Qwen/VL", "weight_format": "int8"}}
    (release / "manifest.json").write_text(json.dumps(manifest))
    assert list(copies(WANTED, [tmp_path])) == [(release, None)]


@pytest.mark.parametrize(
    "record",
    [{}, {"model": "Qwen/VL", "weight_format": "int4"}, {"model": "Qwen/Other", "weight_format": "int8"}],
)
def test_another_model_is_no_copy(tmp_path: Path, record: dict[str, str]) -> None:
    model = model_in(tmp_path / "some/model")
    if record:
        record_in(model, record)
    assert list(copies(WANTED, [tmp_path])) == []


@pytest.mark.parametrize(
    ("record", "noted", "reason"),
    [
        ({"model": "Other/VL", "weight_format": "int8"}, {}, "it was made of Other/VL, not of Qwen/VL"),
        ({"model": "Qwen/VL", "weight_format": "int4"}, {}, "it holds int4 weights, not int8"),
        ({}, {"dtype": "int4"}, "it holds int4 weights, not int8"),
        ({"model": "VL", "weight_format": "int8"}, {}, None),
        ({"model": "VL-ov-int8", "weight_format": "int8"}, {}, None),
    ],
)
def test_what_a_model_says_of_itself_counts_more_than_its_name(
    tmp_path: Path, record: dict[str, str], noted: dict[str, str], reason: str | None
) -> None:
    model = model_in(tmp_path / NAME)
    (model / "openvino_config.json").write_text(json.dumps(noted))
    if record:
        record_in(model, record)
    assert list(copies(WANTED, [tmp_path])) == [(model, reason)]


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ([], []),
        (["--source", "Qwen/VL", "--device", "GPU", "--cache-size", "4"], []),
        (["--device", "CPU"], ["it was made for TARGET_DEVICE GPU, now CPU"]),
        (["--cache-size", "1"], ["it was made for CACHE_SIZE 4, now 1"]),
        (["--source", "Qwen/Other"], ["it was made of Qwen/VL, SOURCE_MODEL is Qwen/Other"]),
    ],
)
def test_wishes_that_the_model_does_not_fulfil_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wishes: list[str], expected: list[str]
) -> None:
    model = model_in(tmp_path / NAME)
    record = {"model": "Qwen/VL", "options": {"device": "GPU", "cache_size": 4}}
    (model / "export.json").write_text(json.dumps(record))
    assert main(["differences", "--repository", str(tmp_path), "--name", NAME, *wishes]) == 0
    assert capsys.readouterr().out.splitlines() == expected


def test_unfinished_work_of_an_exporter_is_no_copy(tmp_path: Path) -> None:
    model_in(tmp_path / "Qwen/.VL-ov-int8.exporting/VL-ov-int8")
    assert list(copies(WANTED, [tmp_path])) == []


def test_a_directory_that_two_places_share_is_found_once(tmp_path: Path) -> None:
    copy = model_in(tmp_path / NAME)
    assert [found for found, _ in copies(WANTED, [tmp_path, tmp_path / "Qwen"])] == [copy]


def test_a_damaged_copy_is_passed_over_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model_in(tmp_path / "a" / NAME) / "openvino_tokenizer.xml").write_text("<?xml")
    whole = model_in(tmp_path / "b" / NAME)
    words = ["find", "--name", NAME, "--source", "Qwen/VL", "--weight-format", "int8"]
    assert main([*words, "--places", f"{tmp_path}:{tmp_path / 'missing'}"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(whole)]
    assert f"passed over {tmp_path / 'a' / NAME}: " in printed.err


def test_what_the_system_refuses_is_a_line_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> str:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(local_models, "_state", refused)
    assert main(["state", "--repository", str(tmp_path), "--name", NAME]) == 1
    assert capsys.readouterr().err == f"{tmp_path}: Permission denied; mend its permissions\n"
