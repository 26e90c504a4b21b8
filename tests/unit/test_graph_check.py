"""The checker against what OVMS does: parse, streams, nodes, options; the model is in test_graph_model."""

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.graph.check import check_graph
from ovms_edge.ovms.fields import KNOWN_VERSIONS
from ovms_edge.ovms.graph import render_graph
from tests.unit.graph_cases import (
    GOOD,
    INITIALIZE,
    LOAD,
    NO_DIRECTORY,
    PARSE,
    PLUGIN,
    SEED,
    SET,
    VERSION,
    changed,
    errors,
    found,
    reported,
    with_options,
)


@pytest.mark.parametrize("version", [*KNOWN_VERSIONS, "2025.2.1", "2025.4.1", "2026.2.1"])
def test_a_rendered_graph_has_nothing_wrong_in_any_version(version: str) -> None:
    assert check_graph(render_graph(SET, version), version) == []


def test_the_seeds_own_graph_is_refused_and_all_its_faults_are_named() -> None:
    findings = check_graph(SEED, VERSION)
    text = "\n".join(finding.message for finding in findings)

    assert reported(SEED) == PARSE
    for fault in ("ModelAPISidePacketCalculatorOptions", "LLMNodeOptions", "ModelAPISessionCalculator"):
        assert fault in text
    assert "INTERNAL_ERROR" in errors(SEED)  # no stream


@pytest.mark.parametrize(
    ("text", "place", "says", "fix"),
    [
        ("", (1, 1), "empty", "render"),
        ('{"node": []}', (1, 1), "got: {", "it is JSON"),
        ("\ufeff" + GOOD, (1, 1), "non ascii codepoint 239", "without a byte order mark"),
        (with_options("cache_size: {{ cache }}"), (19, 14), "{", "fill the template in: {{ cache }}"),
        (with_options("{% if cache %}"), (19, 1), "{", "fill the template in: {% if cache %}"),
        (with_options("block_size: 32"), (19, 1), '"block_size"', "remove it: OVMS 2024.4 to 2024.5 knows"),
        (with_options("response_parser: 'x'"), (19, 1), '"response_parser"', "only 2025.2 knows"),
        (with_options("max_num_seq: 1"), (19, 1), '"max_num_seq"', "write max_num_seqs"),
        (with_options("zzz: 1"), (19, 1), '"zzz"', "no OVMS from 2024.4 to 2026.3"),
        (with_options("max_num_seqs: \"4\""), (19, 15), 'got: "4"', "write 4, without quotes"),
        (with_options("max_num_seqs: 99999999999999999999"), (19, 15), "out of range", "from 0 to"),
        (with_options("dynamic_split_fuse: yes"), (19, 21), "boolean", "write true or false"),
        (with_options("tool_parser: hermes3"), (19, 14), "Expected string", 'write "hermes3"'),
        (with_options("pipeline_type: 'VLM_CB'"), (19, 16), "identifier", "without quotes"),
        (with_options("cache_size: 3"), (20, 7), "multiple times", "keep one"),
        (with_options("cache_eviction_config: 1"), (19, 24), 'Expected "{"', "message in { }"),
        (with_options("device { }"), (19, 8), "Expected a value", "string"),
        (with_options("cache_eviction_config { start_size: 16 }"), (19, 1), "recent_size, max", "set recent"),
        (changed('      models_path: "./"\n', ""), (17, 5), "fields: models_path", "set models_path"),
        (changed("sync_set", "sync_wait_time: 1 sync_set"), (28, 9), '"sync_wait_time"', "remove it"),
        (changed("Options.ext", "Options.other"), (27, 7), 'Extension "', ""),
        (changed("    }\n  }\n  input", "    },\n  }\n  input"), (22, 6), "got: ,", 'remove the ","'),
        (changed("type.googleapis.com", "example.com"), (17, 5), "Could not find type", "googleapis"),
    ],
)  # fmt: skip
def test_what_ovms_does_not_parse(text: str, place: tuple[int, int], says: str, fix: str) -> None:
    finding = next(f for f in check_graph(text, VERSION) if f.severity == "error")

    assert reported(text) == PARSE
    assert (finding.line, finding.column) == place
    assert says in finding.message
    assert fix in finding.fix


def test_every_unknown_field_is_named_not_only_the_first() -> None:
    text = with_options("block_size: 32 sync_wait_time: 1\ncache_interval_multiplier: 2")
    places = {(f.line, f.column): f.path for f in check_graph(text, VERSION) if f.code == PARSE}

    assert places == {
        (19, 1): "block_size",
        (19, 16): "sync_wait_time",
        (20, 1): "cache_interval_multiplier",
    }


def test_what_else_is_wrong_is_found_behind_a_parse_error() -> None:
    text = changed("HttpLLMCalculator", "LLMCalculator", with_options("block_size: 32 plugin_config: '[]'"))

    assert set(errors(text)) == {PARSE, INITIALIZE, PLUGIN}
    assert reported(text) == PARSE


@pytest.mark.parametrize(
    "text",
    [
        changed("\n", "\r\n").replace("\n", "\r\n"),
        changed('input_stream: "HTTP', '# a comment \u00e9\ninput_stream: "HTTP'),
        with_options("max_num_seqs: 0x10; dynamic_split_fuse: t, best_of_limit: 010"),
        with_options("cache_eviction_config < start_size: 16 recent_size: 16 max_cache_size: 48 >"),
        with_options("pipeline_type: 3"),
        with_options("plugin_config: '{' \"}\""),
        changed("type.googleapis.com/mediapipe", "type.googleapis.com / mediapipe"),
    ],
)
def test_what_c_plus_plus_protobuf_takes_is_taken(text: str) -> None:
    assert errors(text) == []


@pytest.mark.parametrize(
    ("option", "loads"),
    [
        ("block_size: 32", ["2024.4", "2024.5"]),
        ("response_parser: 'llama3'", ["2025.2"]),
        ("draft_eagle3_mode: false", ["2026.0", "2026.1", "2026.2", "2026.3"]),
        ("chat_template_mode: MINJA", ["2026.3"]),
    ],
)
def test_a_field_is_known_by_its_versions_only(option: str, loads: list[str]) -> None:
    assert [v for v in KNOWN_VERSIONS if reported(with_options(option, v), v) == "OK"] == loads


def test_a_file_of_comments_is_a_graph_without_streams() -> None:
    assert reported("# nothing\n") == "INTERNAL_ERROR"


EVICTION = "cache_eviction_config {{ start_size: {} recent_size: {} max_cache_size: {} }}"
GRAPH_IN = 'input_stream: "HTTP_REQUEST_PAYLOAD:input"\noutput'
NODE_IN = '  input_stream: "LOOPBACK:loopback"\n'
OPTIONS_AND_ALL = GOOD[GOOD.index("  node_options") : GOOD.index("  input_stream_handler")]
HANDLER_AND_END = GOOD[GOOD.index("  input_stream_handler") :]
EMPTY_OPTIONS = (
    "  node_options: { [type.googleapis.com/mediapipe.LLMCalculatorOptions] { models_path: '' } }\n"
)
NODE_REQUEST = '  input_stream: "HTTP_REQUEST_PAYLOAD:input"\n  input_side'
NODE_ANSWER = '  output_stream: "HTTP_RESPONSE_PAYLOAD:output"'
PACKET = '"LLM_NODE_RESOURCES:llm"'
INFO = "  input_stream_info"
POOL = 'type: "ThreadPoolExecutor" options { [mediapipe.ThreadPoolExecutorOptions.ext] { num_threads: 4 } }'
TWO_NODES = GOOD + changed("LOOPBACK:loopback", "LOOPBACK:again", GOOD[GOOD.index("node:") :]).replace(
    "LOOPBACK:loopback", "LOOPBACK:again"
).replace("PAYLOAD:output", "PAYLOAD:other")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (changed(GRAPH_IN, "output"), "INTERNAL_ERROR"),
        (changed('output_stream: "HTTP_RESPONSE_PAYLOAD:output"\n', ""), "INTERNAL_ERROR"),
        (
            changed(GRAPH_IN, GRAPH_IN.replace("\n", '\ninput_stream: "B:input"\n')),
            "MEDIAPIPE_WRONG_INPUT_STREAM_PACKET_NAME",
        ),
        (
            'output_stream: "B:output"\n' + GOOD,
            "MEDIAPIPE_WRONG_OUTPUT_STREAM_PACKET_NAME",
        ),
        ('input_stream: "REQUEST:r"\n' + GOOD, "MEDIAPIPE_KFS_PASSTHROUGH_MISSING_OUTPUT_RESPONSE_TAG"),
        ('output_stream: "RESPONSE:r"\n' + GOOD, "MEDIAPIPE_KFS_PASSTHROUGH_MISSING_INPUT_REQUEST_TAG"),
        ('input_stream: "TFLITE_TENSOR:r"\n' + GOOD, "NOT_IMPLEMENTED"),
        ('input_stream: "HTTP_REQUEST_PAYLOAD:second"\n' + GOOD, INITIALIZE),
        ('input_stream: "lower:case"\n' + GOOD, INITIALIZE),
        (changed("HttpLLMCalculator", "NoSuchCalculator"), INITIALIZE),
        (changed(NODE_IN, ""), INITIALIZE),
        (changed(NODE_IN, NODE_IN + '  input_stream: "EXTRA:input"\n'), INITIALIZE),
        (changed("back_edge: true", "back_edge: false"), INITIALIZE),
        (changed("'LOOPBACK:0'", "'LOOPBACK:1'"), INITIALIZE),
        (changed(INFO, f"{INFO} {{ tag_index: 'LOOPBACK' }}\n{INFO}"), INITIALIZE),
        (changed('  input_side_packet: "LLM_NODE_RESOURCES:llm"\n', ""), INITIALIZE),
        (changed(PACKET, f'{PACKET} output_side_packet: "A:a"'), INITIALIZE),
        (changed(NODE_REQUEST, NODE_REQUEST.replace(":input", ":nowhere")), INITIALIZE),
        (changed(NODE_ANSWER, NODE_ANSWER.replace(":output", ":input")), INITIALIZE),
        (changed("SyncSetInputStreamHandler\"", "NoSuchHandler\""), INITIALIZE),
        (changed(OPTIONS_AND_ALL, EMPTY_OPTIONS + OPTIONS_AND_ALL), INITIALIZE),
        (changed(OPTIONS_AND_ALL, ""), "LLM_NODE_MISSING_OPTIONS"),
        (changed('  name: "LLMExecutor"\n', ""), "LLM_NODE_MISSING_NAME"),
        (changed(INFO, f'  output_stream_handler {{ output_stream_handler: "Mine" }}\n{INFO}'), INITIALIZE),
        (changed(INFO, f'  executor: "foo"\n{INFO}'), INITIALIZE),
        (changed(INFO, f'  executor: "gpu"\n{INFO}'), INITIALIZE),
        (changed(INFO, f'  executor: "foo"\n{INFO}') + f'executor {{ name: "foo" {POOL} }}', "OK"),
        (GOOD + f'executor {{ name: "foo" {POOL} }} executor {{ name: "foo" {POOL} }}', INITIALIZE),
        (GOOD + 'executor { name: "foo" type: "MyExecutor" }', INITIALIZE),
        (GOOD + 'executor { name: "foo" }', INITIALIZE),
        (GOOD + 'executor { type: "ThreadPoolExecutor" }', INITIALIZE),
        (GOOD + f"executor {{ {POOL} }}", "OK"),
        (GOOD + f"num_threads: 0 executor {{ {POOL} }}", "OK"),
        (GOOD + f"num_threads: 2 executor {{ {POOL} }}", INITIALIZE),
        (GOOD + 'output_stream_handler { output_stream_handler: "Mine" }', INITIALIZE),
        (GOOD + 'executor { type: "ApplicationThreadExecutor" }', "OK"),
        (GOOD + "profiler_config { enable_profiler: true trace_event_types_disabled: [1, 2] }", "OK"),
        (changed(INFO, f"  profiler_config {{ trace_log_path: '/tmp/' }}\n{INFO}"), "OK"),
        (GOOD + "profiler_config { no_such: 1 }", PARSE),
        (TWO_NODES, "LLM_NODE_NAME_ALREADY_EXISTS"),
        (TWO_NODES.replace("LLMExecutor", "Second", 1), "OK"),
    ],
)  # fmt: skip
def test_what_ovms_reports_of_streams_and_nodes(text: str, code: str) -> None:
    assert reported(text) == code


def test_ovms_stops_at_the_first_node_that_fails() -> None:
    broken = TWO_NODES.replace("cache_size: 4", "plugin_config: '[]' cache_size: 4", 1)

    assert set(errors(broken)) == {PLUGIN, "LLM_NODE_NAME_ALREADY_EXISTS"}
    assert reported(broken) == PLUGIN


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (GOOD.replace("PAYLOAD:input", "PAYLOAD:request"), "request_stream_name", "412"),
        (changed("RESPONSE_PAYLOAD:output", "RESPONSE_PAYLOAD:x"), "output_without_producer", "fails"),
        (changed("RESOURCES:llm", "RESOURCES:model"), "side_packet_name", 'called "llm"'),
        (changed(HANDLER_AND_END, "}\n"), "no_sync_set", "no answer"),
        (changed('"LOOPBACK:0"', '"OTHER:0"'), "sync_set_aborts", "ends the server"),
        ('input_stream: "a" output_stream: "b"', "no_llm_node", "no model"),
        (changed("HttpLLMCalculator", "PythonExecutorCalculator"), "not_checked", "not checked"),
        (GOOD + 'packet_generator { packet_generator: "Mine" }', "not_checked", "packet_generator"),
        (GOOD + 'status_handler { status_handler: "Mine" }', "not_checked", "status_handler"),
    ],
)  # fmt: skip
def test_what_loads_and_does_not_answer_is_a_warning(text: str, code: str, says: str) -> None:
    assert errors(text) == []
    assert says in found(text, code).message


@pytest.mark.parametrize(("version", "code"), [("2026.1", INITIALIZE), ("2026.2", "OK")])
def test_the_side_packet_of_execution_contexts_is_known_since_2026_2(version: str, code: str) -> None:
    text = changed(
        'RESOURCES:llm"',
        'RESOURCES:llm" input_side_packet: "LLM_NODE_EXECUTION_CONTEXTS:llm_ctx"',
        render_graph(SET, version),
    )

    assert reported(text, version) == code


@pytest.mark.parametrize(
    ("value", "version", "code"),
    [
        ("AUTO", "2026.2", "OK"),
        ("8", "2026.3", "OK"),
        ("many", "2026.2", PARSE),
        ("-1", "2026.3", PARSE),
        ("many", "2026.1", "OK"),
    ],
)
def test_the_queue_comment_is_read_since_2026_2(value: str, version: str, code: str) -> None:
    text = f"# OVMS_GRAPH_QUEUE_MAX_SIZE: {value}\n" + render_graph(SET, version)

    assert reported(text, version) == code


@pytest.mark.parametrize(
    ("options", "version", "code"),
    [
        ("plugin_config: 'CACHE_DIR=/cache'", VERSION, PLUGIN),
        ("plugin_config: '[]'", VERSION, PLUGIN),
        ("plugin_config: '{\"A\": null}'", VERSION, PLUGIN),
        ("plugin_config: '{\"NUM_STREAMS\": [1]}'", VERSION, PLUGIN),
        ("plugin_config: '{\"NUM_STREAMS\": 9223372036854775808}'", VERSION, PLUGIN),
        ("plugin_config: '{\"NUM_STREAMS\": NaN}'", VERSION, PLUGIN),
        ("plugin_config: '{\"DEVICE_PROPERTIES\": {\"GPU\": 1}}'", VERSION, PLUGIN),
        ("plugin_config: '{\"DEVICE_PROPERTIES\": {\"GPU\": {\"NUM_STREAMS\": 1}}}'", VERSION, "OK"),
        ("plugin_config: ''", VERSION, "OK"),
        ("plugin_config: ' '", VERSION, PLUGIN),
        ("plugin_config: '{\"NUM_STREAM\": 1}'", VERSION, LOAD),
        ("plugin_config: '{\"KV_CACHE_PRECISION\": \"int8\"}'", VERSION, "OK"),
        ("plugin_config: '{\"KV_CACHE_PRECISION\": \"i64\"}'", VERSION, LOAD),
        ("plugin_config: '{\"PERFORMANCE_HINT\": \"\"}'", VERSION, LOAD),
        ("plugin_config: '{\"PERFORMANCE_HINT\": \"FAST\"}'", VERSION, LOAD),
        ("plugin_config: '{\"MAX_PROMPT_LEN\": 1024}'", VERSION, LOAD),
        ("draft_cache_size: 1", VERSION, LOAD),
        ("draft_device: 'CPU'", "2025.0", LOAD),
        ("draft_models_path: 'd' draft_cache_size: 1", VERSION, "OK"),
        ("draft_models_path: 'd' pipeline_type: VLM_CB", VERSION, LOAD),
        ("draft_models_path: 'd' draft_cache_size: 1 pipeline_type: LM", VERSION, LOAD),
        ("pipeline_type: VLM_CB plugin_config: '{\"prompt_lookup\": true}'", VERSION, LOAD),
        (EVICTION.format(32, 128, 672), VERSION, "OK"),
        (EVICTION.format(32, 128, 160), VERSION, "INTERNAL_ERROR"),
        (EVICTION.format(0, 128, 160), VERSION, "INTERNAL_ERROR"),
        ("tool_parser: 'hermes3'", "2026.3", "OK"),
        ("tool_parser: 'none'", "2026.3", "OK"),
        ("tool_parser: 'mine'", "2026.3", LOAD),
        ("tool_parser: 'mine'", VERSION, "OK"),
    ],
)  # fmt: skip
def test_what_ovms_makes_of_options(options: str, version: str, code: str) -> None:
    assert reported(with_options(options, version), version) == code


@pytest.mark.parametrize(
    ("values", "version", "code"),
    [
        ({"device": "gpu"}, VERSION, LOAD),
        ({"device": "GPU.1"}, VERSION, "OK"),
        ({"device": "HETERO:GPU,CPU"}, VERSION, "OK"),
        ({"device": "iGPU"}, VERSION, LOAD),
        ({"cache_size": 0}, VERSION, "OK"),
        ({"cache_size": 0}, "2024.5", LOAD),
    ],
)
def test_what_ovms_makes_of_device_and_cache(values: dict[str, object], version: str, code: str) -> None:
    assert reported(with_options("", version, **values), version) == code


@pytest.mark.parametrize(
    ("models_path", "version", "code"),
    [
        ("openvino_language_model.xml", VERSION, "LLM_NODE_PATH_DOES_NOT_EXIST_AND_NOT_GGUFFILE"),
        ("model.gguf", VERSION, "OK"),
        ("model.gguf", "2025.2", NO_DIRECTORY),
        ("model/", VERSION, "OK"),
        ("/opt/models/vlm", VERSION, "OK"),
    ],
)
def test_what_can_be_said_of_models_path_without_the_model(models_path: str, version: str, code: str) -> None:
    text = changed('models_path: "./"', f'models_path: "{models_path}"', render_graph(SET, version))

    assert reported(text, version) == code


def test_models_path_may_be_left_out_in_2025_1_and_then_nothing_is_loaded() -> None:
    text = changed('      models_path: "./"\n', "", render_graph(SET, "2025.1"))

    assert reported(text, "2025.1") == "INTERNAL_ERROR"


@pytest.mark.parametrize(
    ("options", "values", "version", "code"),
    [
        ("", {"cache_size": 0}, VERSION, "cache_size_zero"),
        ("dynamic_split_fuse: false", {}, VERSION, "long_prompt_ends_server"),
        ("dynamic_split_fuse: false max_num_seqs: 512", {}, VERSION, "first_request_ends_server"),
        ("max_num_seqs: 0", {}, VERSION, "nothing_scheduled"),
        ("", {"max_tokens_limit": 0}, VERSION, "max_tokens_limit_zero"),
        ("pipeline_type: VLM", {}, VERSION, "ignored_by_pipeline"),
        ("block_size: 32", {}, "2024.5", "no_effect"),
        ("enable_tool_guided_generation: true", {}, VERSION, "no_effect"),
        ("tool_parser: 'qwen3coder'", {}, "2025.3", "unknown_parser"),
        ("plugin_config: '{\"GPU_THROUGHPUT_STREAMS\": 1}'", {}, VERSION, "old_name"),
        ("plugin_config: '{\"KV_CACHE_PRECISION\": \"int8\"}'", {}, VERSION, "no_type"),
        ("plugin_config: '{\"CACHE_DIR\": \"/models/cache\"}'", {}, VERSION, "cache_dir_not_writable"),
        (EVICTION.format(30, 128, 672), {}, VERSION, "first_request_ends_server"),
    ],
)  # fmt: skip
def test_what_loads_and_does_something_else_is_a_warning(
    options: str, values: dict[str, object], version: str, code: str
) -> None:
    text = with_options(options, version, **values)

    assert errors(text, version) == []
    finding = found(text, code, version)
    assert finding.severity == "warning"
    assert finding.line is not None


@pytest.mark.parametrize(
    ("option", "version", "says"),
    [
        ("device", VERSION, "uses the CPU"),
        ("device", "2026.3", "chooses one itself"),
        ("cache_size", "2025.3", "it is 8 GiB"),
        ("cache_size", VERSION, "0 lets the KV cache grow"),
        ("max_tokens_limit", VERSION, "model's length"),
    ],
)
def test_a_default_that_differs_by_version_is_named(option: str, version: str, says: str) -> None:
    text = render_graph(SET, version)
    lines = [line for line in text.splitlines(keepends=True) if not line.strip().startswith(f"{option}:")]
    findings = [f for f in check_graph("".join(lines), version) if f.path == option]

    assert [says in finding.message for finding in findings] == [True]


def test_findings_are_in_file_order() -> None:
    text = changed("back_edge: true", "back_edge: false", with_options("block_size: 32 zzz: 1"))
    lines = [finding.line or 0 for finding in check_graph(text, VERSION)]

    assert lines == sorted(lines)
    assert len(lines) > 2


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(EdgeError, match=r"2023\.1"):
        check_graph(GOOD, "2023.1")
