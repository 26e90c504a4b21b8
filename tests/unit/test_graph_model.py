"""The checker with the model and the host that the graph is meant for."""

from dataclasses import replace
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.graph.check import check_graph, first_error
from ovms_edge.graph.model import ModelFacts, holds_model, read_model_facts
from ovms_edge.ovms.graph import render_graph
from ovms_edge.ovms.ir import LANGUAGE_MODELS
from ovms_edge.ovms.memory import GIB, HostMemory, ModelMemory
from tests.unit.graph_cases import GOOD, LOAD, NO_DIRECTORY, SET, VERSION, changed, with_options
from tests.unit.release_model import BIN_BYTES, KV_BYTES_PER_TOKEN, XML, write_model


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture
def text_model(tmp_path: Path) -> Path:
    directory = tmp_path / "text"
    directory.mkdir()
    for name in LANGUAGE_MODELS:
        (directory / f"{name}.xml").write_text(XML)
        (directory / f"{name}.bin").write_bytes(bytes(BIN_BYTES))
    (directory / "config.json").write_text('{"model_type": "qwen2"}')
    return directory


def reported(text: str, model: ModelFacts, version: str = VERSION, host: HostMemory | None = None) -> str:
    first = first_error(check_graph(text, version, model, host))
    return first.code if first else "OK"


def with_path(path: str) -> str:
    return changed('models_path: "./"', f'models_path: "{path}"')


def test_a_whole_vision_language_model_is_known(directory: Path) -> None:
    facts = read_model_facts(directory)

    assert (facts.kind, facts.omni, facts.has_gguf, dict(facts.broken)) == ("VLM", False, False, {})
    assert facts.memory == ModelMemory(6 * BIN_BYTES, KV_BYTES_PER_TOKEN, 28)
    assert holds_model(directory)
    assert reported(GOOD, facts) == "OK"


def test_a_text_model_is_known(text_model: Path) -> None:
    facts = read_model_facts(text_model)

    assert (facts.kind, dict(facts.broken)) == ("LM", {})
    assert reported(GOOD, facts) == "OK"


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="no model directory"):
        read_model_facts(tmp_path / "missing")


@pytest.mark.parametrize(
    ("pipeline_type", "of_vision_model", "of_text_model"),
    [
        ("AUTO", "OK", "OK"),
        ("VLM_CB", "OK", "INTERNAL_ERROR"),
        ("VLM", "OK", "INTERNAL_ERROR"),
        ("LM_CB", "INTERNAL_ERROR", "OK"),
        ("LM", "INTERNAL_ERROR", "OK"),
    ],
)
def test_the_pipeline_type_has_to_fit_the_model(
    directory: Path, text_model: Path, pipeline_type: str, of_vision_model: str, of_text_model: str
) -> None:
    text = with_options(f"pipeline_type: {pipeline_type}")

    assert reported(text, read_model_facts(directory)) == of_vision_model
    assert reported(text, read_model_facts(text_model)) == of_text_model


def test_a_partial_vision_model_is_taken_for_a_text_model_and_not_loaded(directory: Path) -> None:
    (directory / "openvino_vision_embeddings_model.bin").unlink()
    facts = read_model_facts(directory)

    assert facts.kind == "LM"
    assert reported(GOOD, facts) == LOAD
    assert reported(with_options("pipeline_type: VLM_CB"), facts) == "INTERNAL_ERROR"


@pytest.mark.parametrize("file", ["openvino_language_model.bin", "openvino_language_model.xml"])
def test_a_cut_file_does_not_load(directory: Path, file: str) -> None:
    path = directory / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    facts = read_model_facts(directory)

    assert list(facts.broken) == ["openvino_language_model"]
    finding = first_error(check_graph(GOOD, VERSION, facts))
    assert finding is not None
    assert (finding.code, "truncated" in finding.message) == (LOAD, True)


def test_an_omni_model_is_one_since_2026_3(directory: Path) -> None:
    (directory / "openvino_talker_model.xml").write_text(XML)
    (directory / "openvino_talker_model.bin").write_bytes(bytes(BIN_BYTES))
    facts = read_model_facts(directory)

    assert facts.omni
    assert reported(with_options("pipeline_type: VLM_CB"), facts) == "OK"
    assert reported(with_options("pipeline_type: VLM_CB", "2026.3"), facts, "2026.3") == "INTERNAL_ERROR"


@pytest.mark.parametrize("version", ["2024.4", "2025.0"])
def test_vision_models_are_served_since_2025_1(directory: Path, version: str) -> None:
    assert reported(render_graph(SET, version), read_model_facts(directory), version) == LOAD


@pytest.mark.parametrize(
    ("models_path", "code"),
    [
        ("./", "OK"),
        ("", "OK"),
        (".", "OK"),
        ("missing", NO_DIRECTORY),
        ("./openvino_language_model.xml", "LLM_NODE_PATH_DOES_NOT_EXIST_AND_NOT_GGUFFILE"),
        ("README.md", "LLM_NODE_PATH_DOES_NOT_EXIST_AND_NOT_GGUFFILE"),
        ("/opt/ovms-service/models", "OK"),
    ],
)
def test_models_path_is_followed_where_it_can_be(directory: Path, models_path: str, code: str) -> None:
    assert reported(with_path(models_path), read_model_facts(directory)) == code


@pytest.mark.parametrize(
    ("models_path", "code"),
    [
        ("/weights", "OK"),
        ("/weights/openvino_language_model.xml", "LLM_NODE_PATH_DOES_NOT_EXIST_AND_NOT_GGUFFILE"),
        ("/weights/missing", NO_DIRECTORY),
        ("/opt/ovms-service/models", NO_DIRECTORY),
    ],
)
def test_an_absolute_models_path_is_followed_where_the_mount_is_known(
    directory: Path, models_path: str, code: str
) -> None:
    assert reported(with_path(models_path), read_model_facts(directory, mounted_at="/weights")) == code


def test_an_absolute_models_path_is_a_warning_where_the_mount_is_not_known(directory: Path) -> None:
    findings = check_graph(with_path(str(directory)), VERSION, read_model_facts(directory))

    assert [f.code for f in findings if f.path == "models_path"] == ["absolute_models_path"]


def test_the_draft_model_has_to_be_there(text_model: Path) -> None:
    facts = read_model_facts(text_model)

    assert reported(with_options("draft_models_path: 'draft'"), facts) == LOAD
    (text_model / "draft").mkdir()
    assert reported(with_options("draft_models_path: 'draft'"), facts) == "OK"


def test_a_vision_model_has_no_draft_model_and_no_prompt_lookup(directory: Path) -> None:
    facts = read_model_facts(directory)

    assert reported(with_options("draft_models_path: './'"), facts) == LOAD
    assert reported(with_options("plugin_config: '{\"prompt_lookup\": true}'"), facts) == LOAD


@pytest.mark.parametrize(
    ("cache_size", "version", "severity", "code"),
    [
        (4, VERSION, None, None),
        (19, VERSION, "warning", "cache_does_not_fit"),
        (40, VERSION, "error", LOAD),
        (40, "2025.3", "warning", "cache_does_not_fit"),
    ],
)
def test_cache_size_is_compared_with_the_host(
    directory: Path, cache_size: int, version: str, severity: str | None, code: str | None
) -> None:
    facts = _with_weights(read_model_facts(directory), 8 * GIB)
    text = render_graph({**SET, "cache_size": cache_size}, version)
    findings = check_graph(text, version, facts, HostMemory(31 * GIB))

    found = [(finding.severity, finding.code) for finding in findings if finding.path == "cache_size"]
    assert found == ([(severity, code)] if code else [])


def test_cache_size_is_compared_with_a_discrete_gpu(directory: Path) -> None:
    facts = _with_weights(read_model_facts(directory), 8 * GIB)
    host = HostMemory(64 * GIB, 12 * GIB)

    assert reported(render_graph({**SET, "cache_size": 8}, VERSION), facts, host=host) == LOAD
    assert reported(render_graph({**SET, "cache_size": 1}, VERSION), facts, host=host) == "OK"


def _with_weights(facts: ModelFacts, weights: int) -> ModelFacts:
    return replace(facts, memory=ModelMemory(weights, KV_BYTES_PER_TOKEN, 28))
