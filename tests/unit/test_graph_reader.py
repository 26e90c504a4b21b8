import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.graph.reader import read_graph

OPTIONS = """\
          models_path: "./",
          plugin_config: '{ "KV_CACHE_PRECISION": "u8"}',
          enable_prefix_caching: true,
          cache_size: 2,
          device: "GPU",
          pipeline_type: VLM_CB
"""
GRAPH = f"""\
input_stream: "HTTP_REQUEST_PAYLOAD:input"
output_stream: "HTTP_RESPONSE_PAYLOAD:output"

node: {{
  name: "LLMExecutor"
  calculator: "HttpLLMCalculator"
  input_stream: "LOOPBACK:loopback"
  input_stream: "HTTP_REQUEST_PAYLOAD:input"
  input_side_packet: "LLM_NODE_RESOURCES:llm"
  output_stream: "LOOPBACK:loopback"
  output_stream: "HTTP_RESPONSE_PAYLOAD:output"
  input_stream_info: {{ tag_index: 'LOOPBACK:0', back_edge: true }}
  node_options: {{
      [type.googleapis.com / mediapipe.LLMCalculatorOptions]: {{
{OPTIONS}
      }}
  }}
  input_stream_handler {{
    input_stream_handler: "SyncSetInputStreamHandler",
    options {{
      [mediapipe.SyncSetInputStreamHandlerOptions.ext] {{
        sync_set {{ tag_index: "LOOPBACK:0" }}
      }}
    }}
  }}
}}
"""


def with_options(options: str) -> str:
    return GRAPH.replace(OPTIONS, options)


def test_explicitly_set_options_are_returned_as_plain_values() -> None:
    assert read_graph(GRAPH, "2025.4.1").llm_options == {
        "models_path": "./",
        "plugin_config": '{ "KV_CACHE_PRECISION": "u8"}',
        "enable_prefix_caching": True,
        "cache_size": 2,
        "device": "GPU",
        "pipeline_type": "VLM_CB",
    }


def test_nested_messages_become_nested_dicts() -> None:
    eviction = (
        "start_size: 32 recent_size: 64 max_cache_size: 672 kv_crush_config { anchor_point_mode: MEAN }"
    )
    graph = read_graph(with_options(f'models_path: "./" cache_eviction_config {{ {eviction} }}'), "2025.4.1")

    assert graph.llm_options["cache_eviction_config"] == {
        "start_size": 32,
        "recent_size": 64,
        "max_cache_size": 672,
        "kv_crush_config": {"anchor_point_mode": "MEAN"},
    }


def test_streams_and_loop_of_the_node_are_returned() -> None:
    graph = read_graph(GRAPH, "2025.4.1")
    (node,) = graph.nodes

    assert (graph.input_streams, graph.output_streams) == (
        ("HTTP_REQUEST_PAYLOAD:input",),
        ("HTTP_RESPONSE_PAYLOAD:output",),
    )
    assert (node.name, node.calculator, node.back_edges) == (
        "LLMExecutor",
        "HttpLLMCalculator",
        ("LOOPBACK:0",),
    )
    assert node.side_packets == ("LLM_NODE_RESOURCES:llm",)


def test_a_node_without_options_has_none() -> None:
    graph = read_graph('node { name: "a" calculator: "HttpLLMCalculator" }', "2025.4.1")

    assert graph.nodes[0].options is None
    assert graph.llm_options == {}


@pytest.mark.parametrize(
    ("options", "version", "parses"),
    [
        ('models_path: "./" block_size: 32', "2024.5", True),
        ('models_path: "./" block_size: 32', "2025.0", False),
        ("cache_size: 4", "2025.1", True),
        ("cache_size: 4", "2025.4.1", False),
        ('models_path: "./" pipeline_type: OMNI', "2026.2", False),
        ('models_path: "./" pipeline_type: OMNI', "2026.3", True),
        ('models_path: "./" draft_eagle3_mode: true', "2025.4.1", False),
    ],
)
def test_what_parses_depends_on_the_version(options: str, version: str, parses: bool) -> None:
    if parses:
        assert read_graph(with_options(options), version).llm_options
    else:
        with pytest.raises(EdgeError, match=f"OVMS {version} cannot parse"):
            read_graph(with_options(options), version)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ('{"input_stream": ["a"]}', "it is JSON"),
        ("{{ graph }}", "line 1 column 1"),
        ('node { name: "a"', "line 1"),
        ("unknown: 1", 'no field named "unknown"'),
        (with_options("models_path: './' cache_size: 4\nblock_size: 32"), "line 16 column 1.*block_size"),
        (with_options("models_path: './' cache_size: -1"), "Expected integer, got: -1"),
        (with_options("models_path: './' cache_size: 1.5"), "line 15"),
        (with_options("models_path: './' cache_size: 1 cache_size: 2"), "multiple"),
        (with_options("models_path: './' pipeline_type: FAST"), "FAST"),
        (with_options("cache_size: 1"), "missing required fields: models_path"),
        (with_options("models_path: './' cache_eviction_config { start_size: 1 }"), "recent_size"),
        (GRAPH.replace("mediapipe.LLMCalculatorOptions", "mediapipe.LLMNodeOptions"), "LLMNodeOptions"),
        (GRAPH.replace("sync_set {", "sync_wait_time: 9 sync_set {"), "sync_wait_time"),
        (GRAPH.replace("Options.ext", "Options.other"), "is not defined or is not an extension"),
    ],
)
def test_what_ovms_would_not_parse_is_refused_with_the_place(text: str, says: str) -> None:
    with pytest.raises(EdgeError, match=says):
        read_graph(text, "2025.4.1")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("cache_size: 0b1", "space between number and identifier"),
        ("cache_size: 1_0", "space between number and identifier"),
        ("cache_size: +5", None),
        ("cache_size: 09", "must be in octal"),
        ("plugin_config: 'C:\\cache'", "Invalid escape sequence"),
        ("plugin_config: 'a\nb'", "cannot cross line boundaries"),
    ],
)
def test_what_only_python_takes_for_protobuf_is_refused_as_c_plus_plus_does(
    options: str, says: str | None
) -> None:
    with pytest.raises(EdgeError, match=says):
        read_graph(with_options(f"models_path: './' {options}\n"), "2025.4.1")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("cache_size: 012", {"cache_size": 10}),
        ("cache_size: 0xA;", {"cache_size": 10}),
        ("dynamic_split_fuse: t", {"dynamic_split_fuse": True}),
        ("pipeline_type: 3,", {"pipeline_type": "VLM_CB"}),
        ("plugin_config: '{' \"}\"", {"plugin_config": "{}"}),
        (
            "sparse_attention_config < xattention_threshold: 0.5f >",
            {"sparse_attention_config": {"xattention_threshold": 0.5}},
        ),
        ("cache_size: 1\r\n", {"cache_size": 1}),
    ],
)
def test_what_c_plus_plus_takes_is_read(options: str, expected: dict[str, object]) -> None:
    graph = read_graph(with_options(f"models_path: './' {options}"), "2025.4.1")

    assert graph.llm_options == {"models_path": "./", **expected}


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_separator_behind_the_options_is_refused(separator: str) -> None:
    text = GRAPH.replace(
        "      }\n  }\n  input_stream_handler", f"      }}{separator}\n  }}\n  input_stream_handler"
    )

    with pytest.raises(EdgeError, match=f"line 22 column 8: Expected identifier, got: {separator}"):
        read_graph(text, "2025.4.1")


def test_another_prefix_of_the_type_url_is_refused() -> None:
    text = GRAPH.replace("type.googleapis.com", "type.example.com")

    with pytest.raises(EdgeError, match="Could not find type"):
        read_graph(text, "2025.4.1")


def test_a_file_of_blanks_is_a_graph_without_anything() -> None:
    graph = read_graph(" \n", "2025.4.1")

    assert (graph.nodes, graph.input_streams) == ((), ())
