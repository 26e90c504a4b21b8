"""ovms-facts 3.2 to 3.4: which graphs load, and why the others do not."""

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.support import (
    DEVICE,
    FAILED,
    GRAPH,
    Container,
    copy_model,
    graph,
    start,
    write_models,
)

pytestmark = pytest.mark.lab
PARSE = "MEDIAPIPE_GRAPH_CONFIG_FILE_INVALID"
INITIALIZE = "MEDIAPIPE_GRAPH_INITIALIZATION_ERROR"
LOAD = "LLM_NODE_RESOURCE_STATE_INITIALIZATION_FAILED"
PLUGIN = "PLUGIN_CONFIG_WRONG_FORMAT"


@dataclass(frozen=True)
class Bad:
    text: str
    code: str


def changed(old: str, new: str) -> str:
    text = graph()
    assert old in text
    return text.replace(old, new)


BAD = {
    "empty": Bad("", PARSE),
    "json": Bad('{"node": []}', PARSE),
    "unfilled-template": Bad(graph("cache_size: {{ cache_size }}"), PARSE),
    "removed-field": Bad(graph("block_size: 32"), PARSE),
    "field-of-2026": Bad(graph("draft_eagle3_mode: true"), PARSE),
    "response-parser": Bad(graph('response_parser: "hermes3"'), PARSE),
    "text-for-number": Bad(graph('cache_size: "4"'), PARSE),
    "negative": Bad(graph("cache_size: -1"), PARSE),
    "unknown-enum-value": Bad(graph("pipeline_type: OMNI"), PARSE),
    "eviction-incomplete": Bad(graph("cache_eviction_config { start_size: 32 }"), PARSE),
    "no-models-path": Bad(GRAPH.replace("OPTIONS", f'device: "{DEVICE}"'), PARSE),
    "sync-wait-time": Bad(changed("sync_set {", "sync_wait_time: 1 sync_set {"), PARSE),
    "other-options": Bad(changed("mediapipe.LLMCalculatorOptions", "mediapipe.LLMNodeOptions"), PARSE),
    "no-input": Bad(
        changed('input_stream: "HTTP_REQUEST_PAYLOAD:input"\noutput', "output"), "INTERNAL_ERROR"
    ),
    "unknown-calculator": Bad(changed("HttpLLMCalculator", "ModelAPISessionCalculator"), INITIALIZE),
    "dangling-stream": Bad(
        changed('PAYLOAD:output"\n  input_stream_info', 'PAYLOAD:other"\n  input_stream_info'), INITIALIZE
    ),
    "no-loopback": Bad(changed("back_edge: true", "back_edge: false"), INITIALIZE),
    "no-options": Bad(
        GRAPH.replace(GRAPH[GRAPH.index("  node_options") : GRAPH.index("  input_stream_handler")], ""),
        "LLM_NODE_MISSING_OPTIONS",
    ),
    "no-name": Bad(changed('  name: "LLMExecutor"\n', ""), "LLM_NODE_MISSING_NAME"),
    "host-path": Bad(
        graph(models_path="/opt/ovms-service/models"), "LLM_NODE_DIRECTORY_DOES_NOT_EXIST"
    ),
    "file-for-directory": Bad(
        graph(models_path="/weights/openvino_language_model.xml"),
        "LLM_NODE_PATH_DOES_NOT_EXIST_AND_NOT_GGUFFILE",
    ),
    "text-pipeline": Bad(graph("pipeline_type: LM_CB"), "INTERNAL_ERROR"),
    "plugin-config-no-json": Bad(graph("plugin_config: 'CACHE_DIR=/cache'"), PLUGIN),
    "plugin-config-list": Bad(graph("plugin_config: '[]'"), PLUGIN),
    "plugin-config-nested": Bad(graph("plugin_config: '{\"A\": {\"B\": 1}}'"), PLUGIN),
    "plugin-config-unknown-key": Bad(graph("plugin_config: '{\"NO_SUCH_PROPERTY\": 1}'"), LOAD),
    "cache-too-large": Bad(graph("cache_size: 100000"), LOAD),
    "draft-without-model": Bad(graph("draft_cache_size: 1"), LOAD),
    "no-gpu": Bad(graph(device="GPU"), LOAD),
    "truncated-weights": Bad(graph(models_path="/models/truncated"), LOAD),
    "truncated-xml": Bad(graph(models_path="/models/cut"), LOAD),
    "missing-vision-encoder": Bad(graph(models_path="/models/partial"), LOAD),
}  # fmt: skip


@pytest.fixture(scope="module")
def bad(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One server with every bad graph in it: each fails by itself."""
    models = tmp_path_factory.mktemp("bad")
    entries = [{"config": {"name": name}} for name in BAD]
    write_models(models, {"model_config_list": entries}, {name: graph.text for name, graph in BAD.items()})
    for directory, file in (
        ("truncated", "openvino_language_model.bin"),
        ("cut", "openvino_language_model.xml"),
        ("partial", "openvino_vision_embeddings_merger_model.bin"),
    ):
        copy = copy_model(models / directory) / file
        half = copy.read_bytes()[: copy.stat().st_size // 2]
        copy.unlink()  # it may be a hard link: the model itself stays as it is
        if directory != "partial":
            copy.write_bytes(half)
    container = start(models, "--config_path", "/models/config.json")
    try:
        container.wait_until_loaded()
        yield container
    finally:
        container.remove()
        shutil.rmtree(models)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_graph_is_listed_as_failed(bad: Container, name: str) -> None:
    assert bad.server.statuses()[name] == FAILED, bad.logs()


@pytest.mark.parametrize("name", BAD)
def test_the_log_gives_the_reason(bad: Container, name: str) -> None:
    if "standin" not in bad.server.get("/v2").json()["version"]:
        pytest.skip("OVMS itself logs other words; the code is the stand-in's reading of the sources")

    lines = [line for line in bad.logs().splitlines() if f"Loading of graph {name} failed" in line]
    assert len(lines) == 1
    assert f": {BAD[name].code}: " in lines[0]


@pytest.mark.parametrize("name", ["empty", "no-gpu"])
def test_a_failed_graph_answers_500(bad: Container, name: str) -> None:
    answer = bad.server.chat(model=name)

    assert (answer.status_code, answer.json()) == (500, {"error": "Mediapipe is not loaded yet"})


def test_the_server_stays_up_with_failed_graphs(bad: Container) -> None:
    assert bad.state() == (True, 0)


GOOD = {
    "everything-portable": graph(
        "cache_size: 1 max_num_batched_tokens: 512 dynamic_split_fuse: false enable_prefix_caching: true "
        "best_of_limit: 2 max_tokens_limit: 100 pipeline_type: VLM_CB "
        'plugin_config: \'{"KV_CACHE_PRECISION": "u8", "CACHE_DIR": "/tmp/cache", "NUM_STREAMS": 1}\''
    ),
    "other-input-name": GRAPH.replace("PAYLOAD:input", "PAYLOAD:request").replace(
        "OPTIONS", f'models_path: "/weights" device: "{DEVICE}" plugin_config: \'\''
    ),
}


@pytest.fixture(scope="module")
def good(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    models = tmp_path_factory.mktemp("good")
    entries = [{"config": {"name": name}} for name in GOOD]
    write_models(models, {"model_config_list": entries}, GOOD)
    container = start(models, "--config_path", "/models/config.json")
    try:
        container.wait_until_loaded()
        yield container
    finally:
        container.remove()


@pytest.mark.parametrize("name", GOOD)
def test_a_good_graph_is_available(good: Container, name: str) -> None:
    assert [status["state"] for status in good.server.statuses()[name]] == ["AVAILABLE"], good.logs()


def test_the_compile_cache_is_written_where_plugin_config_says(good: Container) -> None:
    assert good.execute("sh", "-c", "ls /tmp/cache/*.blob") == 0


def test_a_graph_whose_input_has_another_name_loads_but_answers_412(good: Container) -> None:
    assert good.server.chat(model="other-input-name").status_code == 412


@pytest.fixture
def render_node(tmp_path: Path) -> Path:
    """A node as the lab's, without a driver; for the real image OVMS_RENDER_NODE must name a real one."""
    if "OVMS_RENDER_NODE" in os.environ:
        return Path(os.environ["OVMS_RENDER_NODE"])
    if os.geteuid() != 0:
        pytest.skip("needs root to make a render node, or OVMS_RENDER_NODE")
    node = tmp_path / "renderD128"
    os.mknod(node, stat.S_IFCHR | 0o660, os.makedev(226, 128))
    node.chmod(0o660)
    os.chown(node, 0, 991)
    return node


@pytest.mark.parametrize(
    ("in_group", "devices", "state"), [(True, "CPU, GPU", "AVAILABLE"), (False, "CPU", "LOADING")]
)
def test_a_gpu_graph_needs_rights_on_the_render_node(
    model: Path, tmp_path: Path, render_node: Path, in_group: bool, devices: str, state: str
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_models(models, {"model_config_list": [{"config": {"name": "a"}}]}, {"a": graph(device="GPU")})
    group = ("--group-add", str(render_node.stat().st_gid)) if in_group else ()
    container = start(
        models,
        *("--config_path", "/models/config.json"),
        options=("--device", f"{render_node}:/dev/dri/renderD128", *group),
    )
    try:
        container.wait_until_loaded()
        assert f"Available devices for Open VINO: {devices}\n" in container.logs()
        assert [status["state"] for status in container.server.statuses()["a"]] == [state]
    finally:
        container.remove()
