"""The graph is read back with google.protobuf and the messages of the same OVMS version."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovms_edge.errors import EdgeError
from ovms_edge.graph.check import check_graph
from ovms_edge.graph.reader import read_graph
from ovms_edge.ovms.fields import KNOWN_VERSIONS, Field, Fields, fields_for
from ovms_edge.ovms.graph import check_options, render_graph

VERSION = "2025.4.1"
BASE: dict[str, Any] = {"device": "GPU", "cache_size": 4}


def value_for(field: Field) -> st.SearchStrategy[Any]:
    if field.name == "plugin_config":
        scalars = st.text() | st.integers(-1000, 1000) | st.booleans()
        return st.dictionaries(st.text(), scalars)
    if field.message is not None:
        return message_for(field.message)
    return {
        "uint32": st.integers(0, 2**32 - 1),
        "uint64": st.integers(0, 2**64 - 1),
        "float": st.floats(0, 1, width=32),
        "bool": st.booleans(),
        "string": st.text(st.characters(codec="utf-8")),
        "enum": st.sampled_from(field.choices or ("",)),
    }[field.type]


def message_for(fields: Fields) -> st.SearchStrategy[dict[str, Any]]:
    names = {name: value_for(field) for name, field in fields.items() if name != "models_path"}
    required = {name for name in names if fields[name].required}
    return st.fixed_dictionaries(
        {name: names[name] for name in sorted(required)},
        optional={name: names[name] for name in names if name not in required},
    )


@given(options=message_for(fields_for(VERSION)))
def test_every_valid_set_of_options_reads_back_as_it_was(options: dict[str, Any]) -> None:
    options = {**BASE, **options}
    found = dict(read_graph(render_graph(options, VERSION), VERSION).llm_options)
    assert found.pop("models_path") == "./"
    if "plugin_config" in options:
        found["plugin_config"] = json.loads(found["plugin_config"])
    assert found == options


# Values that more than the type decides: what a plugin, GenAI or OVMS refuses is not asked for here.
LOADABLE: dict[str, st.SearchStrategy[Any]] = {
    "device": st.sampled_from(["CPU", "GPU", "GPU.1"]),
    "cache_size": st.integers(1, 2**63),
    "tool_parser": st.sampled_from(["hermes3", "llama3", "phi4", "mistral"]),
    "reasoning_parser": st.just("qwen3"),
    "response_parser": st.sampled_from(["hermes3", "llama3", "phi4", "qwen3"]),
    "draft_models_path": st.text("abc./", min_size=1),
    "plugin_config": st.fixed_dictionaries(
        {},
        optional={
            "CACHE_DIR": st.text(st.characters(codec="utf-8")),
            "NUM_STREAMS": st.integers(1, 8) | st.sampled_from(["1", "AUTO"]),
            "KV_CACHE_PRECISION": st.sampled_from(["u8", "f16"]),
            "PERF_COUNT": st.booleans(),
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": st.integers(0, 128),
        },
    ),
    "cache_eviction_config": message_for(fields_for(VERSION)["cache_eviction_config"].message or {}).map(
        lambda message: {**message, "start_size": 32, "recent_size": 64, "max_cache_size": 672}
    ),
}
EXPERIMENTAL = {name for name in fields_for("2025.1") if name.endswith("_pipeline_config")}


@st.composite
def loadable(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    version = draw(st.sampled_from(KNOWN_VERSIONS))
    fields = fields_for(version)
    names = draw(st.sets(st.sampled_from(sorted(fields.keys() - {"models_path"} - EXPERIMENTAL))))
    if "draft_models_path" not in names or "pipeline_type" in names:
        names = {name for name in names if not name.startswith("draft_")}
    options = {
        name: draw(LOADABLE.get(name, value_for(fields[name]))) for name in sorted(names | BASE.keys())
    }
    if message := fields.get("cache_eviction_config"):
        eviction = options.get("cache_eviction_config", {})
        for name in eviction.keys() - (message.message or {}).keys():
            del eviction[name]
    return version, options


def unknown_to(fields: Fields, options: dict[str, Any]) -> set[str]:
    """The names in ``options``, nested ones and those of enums too, that ``fields`` do not have."""
    unknown = options.keys() - fields.keys()
    for name in options.keys() & fields.keys():
        if fields[name].message is not None:
            unknown |= unknown_to(fields[name].message or {}, options[name])
        elif fields[name].choices and options[name] not in fields[name].choices:
            unknown.add(options[name])
    return unknown


@settings(max_examples=100)
@given(case=loadable())
def test_what_is_rendered_checks_clean_for_the_versions_that_have_its_fields(
    case: tuple[str, dict[str, Any]],
) -> None:
    rendered_for, options = case
    text = render_graph(options, rendered_for)
    found = dict(read_graph(text, rendered_for).llm_options)
    assert found.pop("models_path") == "./"
    if "plugin_config" in options:
        found["plugin_config"] = json.loads(found["plugin_config"])
    assert found == options
    for version in KNOWN_VERSIONS:
        errors = [found for found in check_graph(text, version) if found.severity == "error"]
        unknown = unknown_to(fields_for(version), options)
        assert bool(errors) == bool(unknown)
        for name in unknown:
            assert any(name in error.message for error in errors)


@pytest.mark.parametrize("version", KNOWN_VERSIONS)
def test_the_graph_is_whole_for_every_version(version: str) -> None:
    options = {
        **BASE,
        "max_num_seqs": 1,
        "enable_prefix_caching": True,
        "plugin_config": {"CACHE_DIR": "/cache"},
    }
    graph = read_graph(render_graph(options, version), version)
    (node,) = graph.nodes
    assert graph.input_streams == ("HTTP_REQUEST_PAYLOAD:input",)
    assert graph.output_streams == ("HTTP_RESPONSE_PAYLOAD:output",)
    assert node.calculator == "HttpLLMCalculator"
    assert node.name
    assert "LOOPBACK:loopback" in node.input_streams
    assert "LOOPBACK:loopback" in node.output_streams
    assert node.side_packets == ("LLM_NODE_RESOURCES:llm",)
    assert node.back_edges == ("LOOPBACK:0",)
    assert graph.llm_options["cache_size"] == 4
    assert graph.llm_options["device"] == "GPU"


def test_nested_options_read_back() -> None:
    eviction = {"start_size": 32, "recent_size": 128, "max_cache_size": 672, "aggregation_mode": "SUM"}
    found = read_graph(render_graph({**BASE, "cache_eviction_config": eviction}, VERSION), VERSION)
    assert found.llm_options["cache_eviction_config"] == eviction


@pytest.mark.parametrize(
    ("options", "reason", "remedy"),
    [
        ({"block_size": 32}, "block_size is unknown to OVMS 2025.4.1", "remove it: only OVMS 2024.4, 2024.5"),
        ({"max_num_seq": 1}, "max_num_seq is unknown", "did you mean max_num_seqs"),
        ({"sync_wait_time": 1}, "sync_wait_time is unknown", "use one of max_num_batched_tokens"),
        ({"max_num_seqs": "1"}, "max_num_seqs is '1'", "a whole number from 0"),
        ({"max_num_seqs": True}, "max_num_seqs is True", "a whole number"),
        ({"max_num_seqs": -1}, "max_num_seqs is -1", "a whole number"),
        ({"best_of_limit": 2**32}, "best_of_limit is", "to 4294967295"),
        ({"enable_prefix_caching": 1}, "enable_prefix_caching is 1", "true or false"),
        ({"pipeline_type": "VLMS"}, "pipeline_type is 'VLMS'", "one of LM, VLM, LM_CB, VLM_CB, AUTO"),
        ({"tool_parser": 5}, "tool_parser is 5", "text"),
        ({"plugin_config": "{"}, "plugin_config is not JSON", "write it as an object"),
        ({"plugin_config": "[]"}, "plugin_config is []", "write it as an object"),
        ({"plugin_config": {"A": {"B": 1}}}, "plugin_config A is", "only DEVICE_PROPERTIES"),
        ({"plugin_config": {"A": None}}, "plugin_config A is None", "use text, a number"),
        ({"plugin_config": {"A": float("nan")}}, "plugin_config A is nan", "use text, a number"),
        ({"plugin_config": {"A": 2**63}}, "plugin_config A is 9223372036854775808", "use text, a number"),
        (
            {"plugin_config": {"DEVICE_PROPERTIES": {"GPU": 1}}},
            "plugin_config DEVICE_PROPERTIES GPU is 1",
            "write DEVICE_PROPERTIES as",
        ),
        (
            {"plugin_config": {"DEVICE_PROPERTIES": {"GPU": {"A": [1]}}}},
            "plugin_config DEVICE_PROPERTIES GPU A is [1]",
            "use text, a number",
        ),
        (
            {"cache_eviction_config": {"start_size": 1}},
            "cache_eviction_config.recent_size is missing",
            "set it",
        ),
        ({"models_path": "/models"}, "models_path cannot be set", "remove it"),
    ],
)
def test_what_ovms_would_refuse_is_refused_with_a_way_out(
    options: dict[str, Any], reason: str, remedy: str
) -> None:
    with pytest.raises(EdgeError) as caught:
        check_options(options, VERSION)
    assert reason in caught.value.reason
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("missing", ["device", "cache_size"])
def test_device_and_cache_size_are_never_left_to_the_version(missing: str) -> None:
    options = {name: value for name, value in BASE.items() if name != missing}
    with pytest.raises(EdgeError, match=f"{missing} is not set"):
        render_graph(options, VERSION)


def test_properties_of_single_devices_are_rendered() -> None:
    properties = {"DEVICE_PROPERTIES": {"GPU": {"CACHE_DIR": "/c"}, "CPU": {}}}
    found = read_graph(render_graph({**BASE, "plugin_config": properties}, VERSION), VERSION)
    assert json.loads(found.llm_options["plugin_config"]) == properties


def test_plugin_config_may_be_text() -> None:
    graph = render_graph({**BASE, "plugin_config": '{"NUM_STREAMS": 1}'}, VERSION)
    assert "plugin_config: '{\"NUM_STREAMS\": 1}'" in graph
