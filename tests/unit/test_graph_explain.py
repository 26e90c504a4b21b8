from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.graph.checks.plugin_names import property_names
from ovms_edge.graph.explain import Explanation, Row, explain_graph
from ovms_edge.graph.explaining.properties import MEANINGS, UNKNOWN
from ovms_edge.graph.model import ModelFacts, ModelKind
from ovms_edge.ovms.fields import KNOWN_VERSIONS, fields_for
from ovms_edge.ovms.graph import render_graph
from ovms_edge.ovms.memory import GIB, HostMemory, ModelMemory

VERSION = "2025.4.1"
# Qwen2.5-VL-7B: 28 layers, 4 KV heads of 128 values
SEVEN_B = ModelMemory(8 * GIB, 28 * 2 * 4 * 128 * 2, 28)
HOST = HostMemory(31 * GIB)


def model(kind: ModelKind = "VLM", memory: ModelMemory | None = SEVEN_B, *, omni: bool = False) -> ModelFacts:
    return ModelFacts(Path("model"), kind, omni, has_gguf=False, broken={}, memory=memory)


def explain(version: str = VERSION, facts: ModelFacts | None = None, **options: Any) -> Explanation:
    text = render_graph({"device": "GPU", "cache_size": 4, **options}, version)
    return explain_graph(text, version, facts, HOST if facts else None)


def row(explanation: Explanation, option: str) -> Row:
    (found,) = [row for row in explanation.rows if row.option == option]
    return found


@pytest.mark.parametrize("version", KNOWN_VERSIONS)
def test_every_option_of_the_version_is_there_once(version: str) -> None:
    assert [row.option for row in explain(version).rows] == list(fields_for(version))


@pytest.mark.parametrize("version", KNOWN_VERSIONS)
def test_every_option_has_a_meaning(version: str) -> None:
    experimental = {name for name in fields_for(version) if name.endswith("pipeline_config")}
    silent = {row.option for row in explain(version, model()).rows if not row.meaning}
    assert silent <= experimental


def test_where_a_value_comes_from_is_said() -> None:
    found = explain(max_num_seqs=2)
    text = render_graph({"device": "GPU", "cache_size": 4, "max_num_seqs": 2}, VERSION)
    line = text.splitlines().index("      max_num_seqs: 2") + 1
    assert (row(found, "max_num_seqs").value, row(found, "max_num_seqs").source) == (2, f"line {line}")
    assert row(found, "max_num_batched_tokens").source == f"default of {VERSION}"
    assert (row(found, "tool_parser").value, row(found, "tool_parser").source) == (None, "not set")


def test_what_ovms_finds_out_itself_is_said() -> None:
    text = render_graph({"device": "GPU", "cache_size": 4}, "2026.3").replace('      device: "GPU"\n', "")
    assert row(explain_graph(text, "2026.3"), "device").source == "OVMS at load"


@pytest.mark.parametrize(
    ("version", "precision", "tokens", "kib"),
    [("2025.4.1", "u8", 119837, 35), ("2024.5", "f16", 74898, 56)],
)
def test_cache_size_is_told_in_gib_and_tokens(version: str, precision: str, tokens: int, kib: int) -> None:
    meaning = row(explain(version, model()), "cache_size").meaning
    assert f"4 GiB, {tokens} tokens" in meaning
    assert f"{kib} KiB at {precision}" in meaning


def test_the_precision_set_in_plugin_config_counts() -> None:
    meaning = row(explain(facts=model(), plugin_config={"KV_CACHE_PRECISION": "f16"}), "cache_size").meaning
    assert "74898 tokens" in meaning


def test_without_a_model_no_tokens_are_told() -> None:
    assert "tokens" not in row(explain(), "cache_size").meaning


@pytest.mark.parametrize(
    ("version", "said"), [("2025.4.1", "grow without bound"), ("2024.5", "does not load a graph with 0")]
)
def test_cache_size_0_is_told_as_the_version_takes_it(version: str, said: str) -> None:
    found = explain(version, model(), cache_size=0)
    assert said in row(found, "cache_size").meaning
    assert said in str(found.refusal)


@pytest.mark.parametrize(
    ("facts", "options", "pipeline"),
    [
        (model("VLM"), {}, "VLM_CB"),
        (model("LM"), {}, "LM_CB"),
        (model("VLM"), {"device": "NPU"}, "VLM"),
        (model("LM"), {"pipeline_type": "LM"}, "LM"),
        (None, {}, None),
        (None, {"pipeline_type": "VLM_CB"}, "VLM_CB"),
        (model("VLM", omni=True), {}, "VLM_CB"),
    ],
)
def test_the_pipeline_is_what_auto_becomes(
    facts: ModelFacts | None, options: dict[str, Any], pipeline: str | None
) -> None:
    assert explain(VERSION, facts, **options).pipeline == pipeline


def test_from_2026_3_a_talker_makes_it_an_omni_model() -> None:
    assert explain("2026.3", model("VLM", omni=True)).pipeline == "OMNI"


def test_a_legacy_pipeline_ignores_what_belongs_to_the_pool() -> None:
    found = explain(VERSION, model(), pipeline_type="VLM")
    ignored = {row.option for row in found.rows if row.meaning.startswith("no effect")}
    assert {"cache_size", "max_num_seqs", "enable_prefix_caching", "max_num_batched_tokens"} <= ignored
    assert "device" not in ignored


@pytest.mark.parametrize(("fuse", "said"), [(True, "in parts"), (False, "none may be longer")])
def test_split_fuse_says_what_happens_to_long_prompts(fuse: bool, said: str) -> None:
    assert said in row(explain(dynamic_split_fuse=fuse), "dynamic_split_fuse").meaning


@pytest.mark.parametrize(("version", "is_default"), [("2025.0", False), ("2025.1", True)])
def test_the_token_limit_is_the_default_of_requests_from_2025_1_on(version: str, is_default: bool) -> None:
    meaning = row(explain(version, max_tokens_limit=512), "max_tokens_limit").meaning
    assert ("sets none gets 512" in meaning) == is_default


def test_fields_of_a_set_message_have_rows_of_their_own() -> None:
    eviction = {"start_size": 32, "recent_size": 128, "max_cache_size": 672}
    found = explain(cache_eviction_config=eviction)
    assert row(found, "cache_eviction_config.max_cache_size").value == 672
    assert row(found, "cache_eviction_config.aggregation_mode").source == f"default of {VERSION}"


def test_properties_have_their_meaning_or_say_that_it_is_not_known() -> None:
    found = explain(plugin_config={"CACHE_DIR": "/cache", "NO_SUCH": 1})
    meanings = {row.option: row.meaning for row in found.properties}
    assert "kept there" in meanings["CACHE_DIR"]
    assert meanings["NO_SUCH"] == UNKNOWN


@pytest.mark.parametrize("name", sorted(MEANINGS))
def test_every_explained_property_is_one_that_the_check_knows(name: str) -> None:
    of_npu = {"MAX_PROMPT_LEN", "MIN_RESPONSE_LEN"}
    assert name in (property_names("CPU") or set()) | (property_names("GPU") or set()) | of_npu


def test_the_sum_of_the_host_is_there_or_why_it_does_not_fit() -> None:
    assert "operating system" in explain(facts=model()).to_text()
    refused = explain(facts=model(), cache_size=32)
    assert refused.plan is None
    assert "32.0" in str(refused.refusal)
    assert "set cache_size to at most" in str(refused.refusal)


def test_columns_are_aligned() -> None:
    lines = explain().to_text().splitlines()
    assert len({line.index(row.source) for line, row in zip(lines, explain().rows, strict=True)}) == 1


def test_a_graph_that_this_version_cannot_parse_is_refused() -> None:
    text = render_graph({"device": "GPU", "cache_size": 4, "tool_parser": "hermes3"}, VERSION)
    with pytest.raises(EdgeError, match="tool_parser"):
        explain_graph(text, "2025.1")
