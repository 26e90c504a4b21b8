"""Sources that are OpenVINO IR already, text-only models, and draft models."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.export.adopt import held_weight_format
from ovms_edge.export.arguments import parse_arguments
from ovms_edge.export.command import export_model
from ovms_edge.export.content import read_export
from ovms_edge.export.job import prepare
from ovms_edge.export.optimum import Converter
from ovms_edge.export.progress import Progress
from ovms_edge.release.describe import read_source
from tests.unit.export_converter import LM_CONFIG, VLM_CONFIG, write_converter, write_ir, write_source


@pytest.fixture
def converter(tmp_path: Path) -> Converter:
    return write_converter(tmp_path / "converter")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "models"


def run(repository: Path, converter: Converter | None, source: Path, *arguments: str) -> None:
    command = ["text_generation", "--source_model", str(source), "--model_repository_path", str(repository)]

    def find_tools() -> Converter:
        if converter is None:
            pytest.fail("nothing had to be converted")
        return converter

    export_model(parse_arguments([*command, *arguments]), Progress(), find_tools)


def test_language_model_is_converted_as_one(repository: Path, converter: Converter, tmp_path: Path) -> None:
    run(repository, converter, write_source(tmp_path / "text", LM_CONFIG), "--pipeline_type", "LM_CB")
    target = repository / "text-ov-int8"
    assert read_export(target).options["optimum"][:2] == ["--task", "text-generation-with-past"]
    assert "pipeline_type: LM_CB\n" in (target / "graph.pbtxt").read_text()


def test_draft_model_is_made_below_the_model_checked_and_named_in_the_graph(
    repository: Path, converter: Converter, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "text", LM_CONFIG)
    draft = write_source(tmp_path / "small", LM_CONFIG)
    arguments = ("--draft_source_model", str(draft), "--draft_model_name", "org/small-draft")
    run(repository, converter, source, *arguments)
    target = repository / "text-ov-int8"
    record = read_export(target)
    assert record.options["draft"]["model"] == "small"
    assert "org-small-draft/openvino_model.bin" in record.files
    assert 'draft_models_path: "./org-small-draft"\n' in (target / "graph.pbtxt").read_text()
    assert str(tmp_path) not in (target / "export.json").read_text()
    run(repository, None, source, *arguments)
    (target / "org-small-draft" / "openvino_detokenizer.xml").unlink()
    with pytest.raises(EdgeError, match=r"org-small-draft/openvino_detokenizer\.xml is missing"):
        run(repository, converter, source, *arguments)


def test_draft_model_takes_memory_of_its_own(tmp_path: Path) -> None:
    shape = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    source, draft = (write_ir(tmp_path / name, {**LM_CONFIG, **shape}) for name in ("text", "small"))
    command = [
        "text_generation",
        "--source_model",
        str(source),
        "--model_repository_path",
        str(tmp_path / "m"),
    ]
    alone = prepare(parse_arguments(command)).expected_memory()
    both = prepare(parse_arguments([*command, "--draft_source_model", str(draft)])).expected_memory()
    assert both.weights_bytes == 2 * alone.weights_bytes > 0
    assert both.kv_bytes_per_token == 2 * alone.kv_bytes_per_token > 0


def test_another_draft_model_is_another_export(
    repository: Path, converter: Converter, tmp_path: Path
) -> None:
    source = write_source(tmp_path / "text", LM_CONFIG)
    run(repository, converter, source)
    draft = ("--draft_source_model", str(write_source(tmp_path / "small", LM_CONFIG)))
    with pytest.raises(EdgeError, match="was made otherwise: draft null, now"):
        run(repository, converter, source, *draft)
    run(repository, converter, source, *draft, "--overwrite_models")
    assert read_export(repository / "text-ov-int8").options["draft_models_path"] == "./small"


def test_vision_model_has_no_draft_and_is_none(
    repository: Path, converter: Converter, tmp_path: Path
) -> None:
    text = write_source(tmp_path / "text", LM_CONFIG)
    vision = write_source(tmp_path / "vision", VLM_CONFIG)
    with pytest.raises(UsageError, match="--draft_source_model is for language models"):
        run(repository, converter, vision, "--draft_source_model", str(text))
    with pytest.raises(UsageError, match="draft model vision is a vision-language model"):
        run(repository, converter, text, "--draft_source_model", str(vision))


def test_ir_directory_is_copied_with_a_graph_of_its_own(repository: Path, tmp_path: Path) -> None:
    source = write_ir(tmp_path / "Qwen3-8B-int4-ov", LM_CONFIG)
    run(repository, None, source)
    target = repository / "Qwen3-8B-int4-ov"
    record = read_export(target)
    assert (record.weight_format, record.tools, record.options["adopted"]) == ("int4", {}, True)
    assert "somebody" not in (target / "graph.pbtxt").read_text()
    for name in ("openvino_model.bin", "config.json"):
        assert (target / name).stat().st_ino != (source / name).stat().st_ino
        assert (target / name).stat().st_nlink == 1
    (source / "openvino_model.bin").write_bytes(b"what its owner does later")
    assert read_export(target)


def test_ir_with_links_as_in_a_hubs_cache_is_copied_whole(repository: Path, tmp_path: Path) -> None:
    source = write_ir(tmp_path / "blobs", LM_CONFIG)
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for path in source.iterdir():
        (snapshot / path.name).symlink_to(path)
    run(repository, None, snapshot)
    assert not any(path.is_symlink() for path in (repository / "snapshot").iterdir())


def test_damaged_ir_directory_is_not_adopted(repository: Path, tmp_path: Path) -> None:
    source = write_ir(tmp_path / "ir", LM_CONFIG)
    os.truncate(source / "openvino_model.bin", 63)
    with pytest.raises(EdgeError, match="what was copied of ir is not whole, and was removed"):
        run(repository, None, source)
    assert not (repository / "ir").exists()


def test_other_weights_than_the_ir_holds_are_refused(repository: Path, tmp_path: Path) -> None:
    source = write_ir(tmp_path / "ir", LM_CONFIG)
    with pytest.raises(UsageError, match="ir is OpenVINO IR with int4 weights, --weight-format is int8"):
        run(repository, None, source, "--weight-format", "int8")
    run(repository, None, source, "--weight-format", "int4")


def test_weight_format_is_read_where_the_tools_noted_it(tmp_path: Path) -> None:
    assert held_weight_format(tmp_path) is None
    noted = b'<rt_info><nncf><weight_compression><awq value="False"/><mode value="int8_asym"/></nncf></net>'
    (tmp_path / "openvino_model.xml").write_bytes(bytes(200_000) + noted)
    assert held_weight_format(tmp_path) == "int8"
    (tmp_path / "openvino_config.json").write_text(json.dumps({"dtype": "nf4"}))
    assert held_weight_format(tmp_path) == "nf4"


def test_release_keeps_the_record_without_its_digests(
    repository: Path, converter: Converter, tmp_path: Path
) -> None:
    run(repository, converter, write_source(tmp_path / "text", LM_CONFIG))
    source = read_source(repository / "text-ov-int8")
    assert set(source) == {"model", "revision", "weight_format", "tools", "options"}
