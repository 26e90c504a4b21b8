"""Each way in which people write a graph that OVMS refuses, and the graph that they meant."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovms_edge.errors import EdgeError
from ovms_edge.finding import has_errors
from ovms_edge.graph.check import check_graph
from ovms_edge.graph.fix import fix_graph
from ovms_edge.graph.reader import read_graph
from ovms_edge.ovms.fields import KNOWN_VERSIONS
from ovms_edge.ovms.graph import graph_around, render_graph

VERSION = "2025.4.1"
GOOD = render_graph(
    {"device": "GPU", "cache_size": 4, "max_num_seqs": 1, "plugin_config": {"CACHE_DIR": "/cache"}}, VERSION
)
# The sample of the README that this project was asked to implement: its fields and values.
SAMPLE = """\
node: {
  calculator: "ModelAPISessionCalculator"
  output_side_packet: "SESSION:session"
  node_options: { [type.googleapis.com / mediapipe.ModelAPISidePacketCalculatorOptions]: {
    servable_name: "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8" servable_version: "0" base_path: "/models" } }
  node_options: { [type.googleapis.com /mediapipe.LLMNodeOptions]: {
    max_num_seqs: 1 cache_size: 32 block_size: 32 max_num_batched_tokens: 256
    enable_prefix_caching: true dynamic_split_fuse: true
    plugin_config: { key: "NUM_STREAMS" value: "1" }
    plugin_config: { key: "CACHE_DIR" value: "/models/cache" } } }
}
"""


def options(text: str, version: str = VERSION) -> dict[str, object]:
    return dict(read_graph(text, version).llm_options)


def fixed_options(body: str, version: str = VERSION) -> dict[str, object]:
    return options(fix_graph(graph_around(body), version).text, version)


def test_the_sample_becomes_the_graph_that_it_meant() -> None:
    fixed = fix_graph(SAMPLE, VERSION)
    found = options(fixed.text)
    assert json.loads(str(found.pop("plugin_config"))) == {
        "NUM_STREAMS": "1",
        "CACHE_DIR": "/home/ovms/cache",
    }
    assert found == {
        "models_path": "./",
        "max_num_seqs": 1,
        "cache_size": 32,
        "max_num_batched_tokens": 256,
        "enable_prefix_caching": True,
        "dynamic_split_fuse": True,
        "device": "GPU",
    }
    assert not has_errors(fixed.left)
    assert not has_errors(check_graph(fixed.text, VERSION))


@pytest.mark.parametrize(
    "said",
    [
        "line 2: ModelAPISessionCalculator replaced by HttpLLMCalculator",
        "mediapipe.LLMNodeOptions replaced by mediapipe.LLMCalculatorOptions",
        "block_size dropped",
        "plugin_config written as one JSON object: NUM_STREAMS, CACHE_DIR",
        "servable_name dropped",
        "servable_version dropped",
        "base_path dropped",
        "models_path set to ./",
        "device set to GPU",
        "streams, loop and input handler written",
    ],
)
def test_each_change_of_the_sample_is_said(said: str) -> None:
    assert any(said in change for change in fix_graph(SAMPLE, VERSION).changes)


@pytest.mark.parametrize("version", KNOWN_VERSIONS)
def test_the_sample_is_mended_for_every_version(version: str) -> None:
    fixed = fix_graph(SAMPLE, version)
    assert not has_errors(fixed.left)
    assert ("block_size" in options(fixed.text, version)) == (version in ("2024.4", "2024.5"))


@pytest.mark.parametrize("version", KNOWN_VERSIONS)
def test_a_good_graph_comes_back_byte_for_byte(version: str) -> None:
    for text in (GOOD, GOOD.replace("\n", "\r\n"), "# comment\n" + GOOD):
        fixed = fix_graph(text, version)
        assert fixed.text == text
        assert fixed.changes == []


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ('models_path: "./" cache_size: "4"', "cache_size", 4),
        ('models_path: "./" cache_size: 4.0', "cache_size", 4),
        ('models_path: "./" enable_prefix_caching: TRUE', "enable_prefix_caching", True),
        ('models_path: "./" enable_prefix_caching: "False"', "enable_prefix_caching", False),
        ('models_path: "./" device: GPU', "device", "GPU"),
        ('models_path: "./" device: "gpu.1"', "device", "GPU.1"),
        ('models_path: "./" target_device: "GPU"', "device", "GPU"),
        ('models_path: "./" pipeline_type: "VLM_CB"', "pipeline_type", "VLM_CB"),
        ('models_path: "./" pipeline_type: vlm_cb', "pipeline_type", "VLM_CB"),
        ('models_path: "./" maxNumSeqs: 2', "max_num_seqs", 2),
        ('models_path: "./" max_num_seq: 2', "max_num_seqs", 2),
        ('models_path: "./" enable_prefix_cachng: true', "enable_prefix_caching", True),
        ('models_path: "./" cache_size: 4 cache_size: 4', "cache_size", 4),
        ('models_path: "/home/anna/models/qwen"', "models_path", "./"),
        (r'models_path: "C:\\models\\qwen"', "models_path", "./"),
        ('models_path: "./sub/openvino_language_model.xml"', "models_path", "./sub/"),
        ('models_path: "./model.gguf"', "models_path", "./model.gguf"),
        ("cache_size: 4", "models_path", "./"),
        ('models_path: "./" response_parser: "qwen3"', "tool_parser", "hermes3"),
        ('models_path: "./" response_parser: "qwen3"', "reasoning_parser", "qwen3"),
        ('models_path: "./" response_parser: "phi4"', "tool_parser", "phi4"),
    ],
)  # fmt: skip
def test_what_only_one_value_can_be_meant_by_becomes_it(body: str, field: str, value: object) -> None:
    assert fixed_options(body)[field] == value
    assert not has_errors(fix_graph(graph_around(body), VERSION).left)


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        ("plugin_config: \"{'A': 'u8', 'PERF_COUNT': True}\"", {"A": "u8", "PERF_COUNT": True}),
        ("plugin_config: \"{'PERF_COUNT': true,}\"", {"PERF_COUNT": True}),
        ('plugin_config { NUM_STREAMS: 1 CACHE_DIR: "/c" }', {"NUM_STREAMS": 1, "CACHE_DIR": "/c"}),
        ('plugin_config { key: "CACHE_DIR" value: "/c" }', {"CACHE_DIR": "/c"}),
        ('plugin_config: "{"KV_CACHE_PRECISION": "u8"}"', {"KV_CACHE_PRECISION": "u8"}),
        ("plugin_config: '{\n \"CACHE_DIR\": \"/c\"\n}'", {"CACHE_DIR": "/c"}),
        ('kv_cache_precision: "u8" ov_cache_dir: "/c"', {"KV_CACHE_PRECISION": "u8", "CACHE_DIR": "/c"}),
        ('plugin_config: "{\\"DEVICE_PROPERTIES\\": {\\"GPU\\": {\\"A\\": 1}}}" ov_cache_dir: "/c"',
         {"DEVICE_PROPERTIES": {"GPU": {"A": 1}}, "CACHE_DIR": "/c"}),
    ],
)  # fmt: skip
def test_plugin_config_becomes_one_json_object(body: str, properties: dict[str, object]) -> None:
    found = fixed_options(f'models_path: "./" {body}')
    assert json.loads(str(found["plugin_config"])) == properties


def test_an_absolute_path_that_the_container_may_have_stays() -> None:
    fixed = fix_graph(graph_around('models_path: "/models/qwen"'), VERSION)
    assert fixed.changes == []
    assert "absolute_models_path" in [finding.code for finding in fixed.left]


def test_comments_and_layout_stay_where_single_fields_are_mended() -> None:
    kept = '      # weights\n      models_path: "./",\n'
    body = kept + '      block_size: 32  # gone\n      cache_size: "4", # GiB'
    mended = kept + "      cache_size: 4, # GiB"
    assert fix_graph(graph_around(body), VERSION).text == graph_around(mended)


def test_nested_messages_are_mended_too() -> None:
    eviction = 'cache_eviction_config { start_size: "32" recent_sizes: 128 max_cache_size: 672 }'
    found = fixed_options(f'models_path: "./" {eviction}')
    assert found["cache_eviction_config"] == {"start_size": 32, "recent_size": 128, "max_cache_size": 672}


def test_sync_wait_time_is_dropped() -> None:
    text = GOOD.replace('tag_index: "LOOPBACK:0"\n', 'tag_index: "LOOPBACK:0"\n          sync_wait_time: 5\n')
    assert has_errors(check_graph(text, VERSION))
    assert fix_graph(text, VERSION).text == GOOD


@pytest.mark.parametrize(
    ("body", "version", "absent"),
    [
        ("enable_tool_guided_generation: false", "2025.1", "enable_tool_guided_generation"),
        ("pipeline_type: AUTO", "2025.0", "pipeline_type"),
        ("draft_eagle3_mode: false", VERSION, "draft_eagle3_mode"),
    ],
)
def test_a_default_of_another_version_is_dropped(body: str, version: str, absent: str) -> None:
    assert absent not in fixed_options(f'models_path: "./" {body}', version)


def test_the_parsers_of_later_versions_become_the_one_of_2025_2() -> None:
    found = fixed_options('models_path: "./" tool_parser: "hermes3" reasoning_parser: "qwen3"', "2025.2")
    assert found == {"models_path": "./", "response_parser": "qwen3"}


@pytest.mark.parametrize(
    "body",
    [
        "draft_eagle3_mode: true",
        "cache_size: 4 cache_size: 8",
        "cache_size: many",
        "no_such_thing: 1",
        'response_parser: "gptoss"',
        'plugin_config: "KV_CACHE_PRECISION=u8"',
    ],
)
def test_what_is_not_clear_stays_and_is_said(body: str) -> None:
    text = graph_around(f'      models_path: "./"\n      {body}')
    fixed = fix_graph(text, VERSION)
    assert fixed.text == text
    assert has_errors(fixed.left)


def test_json_becomes_text_format() -> None:
    document = {
        "inputStream": ["HTTP_REQUEST_PAYLOAD:input"],
        "node": [
            {
                "name": "LLMExecutor",
                "calculator": "HttpLLMCalculator",
                "nodeOptions": [
                    {
                        "@type": "type.googleapis.com/mediapipe.LLMCalculatorOptions",
                        "modelsPath": "./",
                        "cacheSize": "4",
                        "enablePrefixCaching": True,
                        "pluginConfig": {"CACHE_DIR": "/c"},
                    }
                ],
            }
        ],
    }
    fixed = fix_graph(json.dumps(document), VERSION)
    assert options(fixed.text) == {
        "models_path": "./",
        "cache_size": 4,
        "enable_prefix_caching": True,
        "plugin_config": '{"CACHE_DIR": "/c"}',
    }
    assert fixed.changes[0].startswith("JSON written as")
    assert not has_errors(fixed.left)


@pytest.mark.parametrize(
    "text", ['models_path: "./" cache_size: 4', '{"models_path": "./", "cache_size": 4}']
)
def test_bare_options_get_a_graph_around_them(text: str) -> None:
    fixed = fix_graph(text, VERSION)
    assert options(fixed.text) == {"models_path": "./", "cache_size": 4}
    assert not has_errors(fixed.left)


def test_a_typing_error_among_bare_options_is_not_lost() -> None:
    fixed = fix_graph('models_path: "./" max_num_seq: 2', VERSION)
    assert options(fixed.text) == {"models_path": "./", "max_num_seqs": 2}


def test_what_a_graph_written_anew_loses_is_said() -> None:
    body = 'node { name: "llm" calculator: "HttpLLMCalculator" max_in_flight: 2 }\nnum_threads: 4'
    changes = fix_graph(body, VERSION).changes
    assert "line 1: max_in_flight dropped: the graph is written anew" in changes
    assert "line 2: num_threads dropped: the graph is written anew" in changes


def test_names_nodes_and_comments_that_a_graph_written_anew_loses_are_said() -> None:
    node = 'node { name: "%s" node_options { [type.googleapis.com/mediapipe.LLMCalculatorOptions] { } } }\n'
    changes = fix_graph(f"# first\n{node % 'llm'}{node % 'more'}\t# last '", VERSION).changes
    assert 'line 2: node name "llm" is now "LLMExecutor": the graph is written anew' in changes
    assert "line 3: node dropped: its options are those of the one before" in changes
    assert "lines 1, 4: comments dropped: the graph is written anew" in changes


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('SyncSetInputStreamHandler"', 'DefaultInputStreamHandler"'),
        ("RESOURCES:llm", "RESOURCES:model"),
        ("RESPONSE_PAYLOAD:output", "RESPONSE_PAYLOAD:x"),
        ('"LOOPBACK:0"\n', '"OTHER:0"\n'),
    ],
)
def test_a_graph_that_loads_and_cannot_answer_is_written_anew(right: str, wrong: str) -> None:
    assert right in GOOD
    fixed = fix_graph(GOOD.replace(right, wrong, 1), VERSION)
    assert fixed.text == GOOD
    assert any("written as HttpLLMCalculator needs them" in change for change in fixed.changes)


def test_another_node_is_not_lost_for_an_answer() -> None:
    text = GOOD.replace("RESOURCES:llm", "RESOURCES:model")
    text += 'node { name: "py" calculator: "PythonExecutorCalculator" input_stream: "input" }\n'
    assert fix_graph(text, VERSION).text == text


def test_a_node_without_options_gets_those_that_ovms_requires() -> None:
    text = 'node { name: "llm" calculator: "HttpLLMCalculator" }'
    assert options(fix_graph(text, VERSION).text) == {"models_path": "./"}


def test_a_template_is_filled_in_with_its_defaults() -> None:
    body = (
        '{%- if pipeline_type %} pipeline_type: {{pipeline_type}},{% endif %} models_path: "{{model_path}}", '
        'cache_size: {{cache_size|default("10", true)}}, {%- if not dynamic_split_fuse %} '
        'dynamic_split_fuse: false, {% endif %} device: "{{target_device|default("CPU", true)}}"'
    )
    assert fixed_options(body) == {"models_path": "./", "cache_size": 10, "device": "CPU"}


def test_a_byte_order_mark_is_dropped() -> None:
    assert fix_graph("\ufeff" + GOOD, VERSION).text == GOOD


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not that of a language model"),
        ("hello world", "cannot tell what the graph means"),
        ("cache_size: {{ size }}", "cannot tell what the graph means"),
        ('node { calculator: "EmbeddingsCalculatorOV" }', "not that of a language model"),
        (
            graph_around('models_path: "./" no: 1') + graph_around('models_path: "./b"'),
            "2 sets of options for a language model, and they differ",
        ),
        (
            'models_path: "./" node { name: "py" calculator: "PythonExecutorCalculator" }',
            "node PythonExecutorCalculator besides the language model",
        ),
    ],
)  # fmt: skip
def test_a_graph_whose_intent_is_not_clear_is_refused(text: str, reason: str) -> None:
    with pytest.raises(EdgeError) as caught:
        fix_graph(text, VERSION)
    assert reason in caught.value.reason
    assert caught.value.remedy


_wrong_bodies = st.lists(
    st.sampled_from(
        [
            'models_path: "/home/a/m"', 'cache_size: "4"', "block_size: 16", "max_num_seq: 1", "device: gpu",
            'device: "GPU"',
            'response_parser: "qwen3"', "enable_prefix_caching: yes", 'plugin_config { A: 1 }',
            "plugin_config: \"{'B': 2}\"", "nonsense: 1", "no_split { a: 1 }", 'ov_cache_dir: "/c"',
        ]
    ),
    unique=True,
)  # fmt: skip


@given(
    bodies=_wrong_bodies,
    version=st.sampled_from(KNOWN_VERSIONS),
    separator=st.sampled_from(["\n", " ", ",\n", "; "]),
)
def test_a_second_fix_changes_nothing(bodies: list[str], version: str, separator: str) -> None:
    once = fix_graph(graph_around(separator.join(bodies)), version)
    twice = fix_graph(once.text, version)
    assert twice.text == once.text
    assert twice.changes == []
