"""ovms-facts 2: config.json.

The configurations are those that the checker is held to (tests/unit/test_config_agreement.py).
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.configs import JSON_INVALID, METRICS_NAME, STARTS, WRONG, Wrong, monitoring
from tests.contract.support import (
    AT_ONCE,
    AVAILABLE,
    Container,
    config_of,
    graph,
    start,
    write_models,
)

pytestmark = pytest.mark.lab
CONFIG = ("--config_path", "/models/config.json")
# src/status.cpp
CODE_TEXTS = {JSON_INVALID: "The file is not valid json", METRICS_NAME: "Invalid name in metrics_list"}


@pytest.fixture(scope="module")
def exits(image: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """The exit status and the log with every wrong configuration, tried side by side."""

    def attempt(wrong: Wrong) -> tuple[int, str]:
        container = start(write_models(tmp_path_factory.mktemp("wrong"), wrong.config, {}), *CONFIG)
        try:
            return container.wait_for_exit(60), container.logs()
        finally:
            container.remove()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(WRONG, pool.map(attempt, WRONG.values()), strict=True))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_configuration_ends_the_process(exits: dict[str, tuple[int, str]], name: str) -> None:
    status, log = exits[name]

    assert status != 0
    assert CODE_TEXTS[WRONG[name].code] in log


@pytest.fixture(scope="module")
def starts(image: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What ``/v2/health/ready`` answers with every configuration that the server starts with."""

    def attempt(config: object) -> int:
        container = start(write_models(tmp_path_factory.mktemp("starts"), config, {}), *CONFIG)
        try:
            container.wait_until_loaded()
            return container.server.get("/v2/health/ready").status_code
        finally:
            container.remove()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(STARTS, pool.map(attempt, STARTS.values()), strict=True))


@pytest.mark.parametrize("name", STARTS)
def test_the_server_starts_with_what_it_accepts(starts: dict[str, int], name: str) -> None:
    assert starts[name] == 200


def test_a_missing_configuration_ends_the_process(image: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    container = start(tmp_path, *CONFIG)
    try:
        assert container.wait_for_exit(20) != 0
    finally:
        container.remove()


def test_metrics_by_flag_and_by_file_end_the_process(image: str, tmp_path: Path) -> None:
    write_models(tmp_path, monitoring(enable=False), {})
    container = start(tmp_path, *CONFIG, "--metrics_enable")
    try:
        assert container.wait_for_exit(20) != 0
    finally:
        container.remove()


@pytest.fixture(scope="module")
def placed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """What /v1/config says where one server is given graphs in every way that a path can be written.

    The graphs fail to load on purpose (fast); that they are listed as graphs says that they were found.
    """
    models = tmp_path_factory.mktemp("placed")
    bad = graph("block_size: 1")
    lists = {
        "model_config_list": [
            {"config": {"name": "by-name"}},
            {"config": {"name": "relative", "base_path": "elsewhere/relative"}},
            {"config": {"name": "absolute", "base_path": "/models/elsewhere/absolute"}},
            {"config": {"name": "other-file", "base_path": "elsewhere", "graph_path": "my.pbtxt"}},
            {"config": {"name": "versioned", "base_path": "elsewhere/versioned"}},
            {"config": {"name": "version-2", "base_path": "elsewhere/version-2"}},
            {"config": {"name": "unreadable", "base_path": "elsewhere/unreadable"}},
            {"config": {"name": "twice", "base_path": "/models/by-name"}},
            {"config": {"name": "twice", "base_path": "/models/elsewhere/relative"}},
            {"config": {"name": "occupied", "base_path": "/models/nothing-there"}},
            {"config": {"name": "occupied", "base_path": "/models/by-name"}},
            {"config": {"name": "device-ignored", "base_path": "by-name", "target_device": "NPU"}},
        ],
        "mediapipe_config_list": [{"name": "older-form", "base_path": "elsewhere/relative"}],
    }
    write_models(
        models,
        lists,
        {
            "by-name": bad,
            "elsewhere/relative": bad,
            "elsewhere/absolute": bad,
            "elsewhere/versioned/1": bad,
            "elsewhere/version-2/2": bad,
            "elsewhere/unreadable": bad,
        },
    )
    (models / "elsewhere/my.pbtxt").write_text(bad, encoding="utf-8")
    (models / "elsewhere/unreadable/graph.pbtxt").chmod(0o600)
    container = start(models, *CONFIG)
    try:
        container.wait_until_loaded()
        yield container.server.statuses()
    finally:
        container.remove()


@pytest.mark.parametrize(
    "name",
    ["by-name", "relative", "absolute", "other-file", "versioned", "twice", "older-form", "device-ignored"],
)
def test_a_graph_is_found(placed: dict[str, list[dict[str, object]]], name: str) -> None:
    assert [status["state"] for status in placed[name]] == ["LOADING"]


@pytest.mark.parametrize("name", ["version-2", "unreadable", "occupied"])
def test_an_entry_without_a_readable_graph_is_a_model_without_versions(
    placed: dict[str, list[dict[str, object]]], name: str
) -> None:
    assert [status for status in placed[name] if status["state"] == "AVAILABLE"] == []
    assert "FAILED_PRECONDITION" not in json.dumps(placed[name])


def test_of_two_graphs_with_one_name_the_first_is_loaded(main: Container) -> None:
    entries = [entry["config"]["name"] for entry in json.loads(main.config())["model_config_list"]]
    assert entries.count(main.server.model) == 2  # the second has a graph that cannot load

    assert main.server.statuses()[main.server.model] == AVAILABLE


def test_an_empty_list_is_a_configuration(image: str, tmp_path: Path) -> None:
    write_models(tmp_path, config_of(), {})
    container = start(tmp_path, *CONFIG)
    try:
        container.wait_until_loaded()
        assert container.server.get("/v1/config").text == "{}"
    finally:
        container.remove()


@pytest.mark.parametrize(
    "series",
    [
        "ovms_current_graphs",
        "ovms_requests_accepted",
        "ovms_requests_rejected",
        "ovms_responses",
        "ovms_graph_error",
        "ovms_graph_processing_time_us_count",
    ],
)
def test_the_default_metrics_have_the_series_of_a_graph(main: Container, series: str) -> None:
    main.server.chat(max_completion_tokens=1)
    text = main.server.get("/metrics").text

    found = [
        line for line in text.splitlines() if line.startswith(series + "{") and main.server.model in line
    ]
    assert found


@pytest.mark.parametrize("method", ["Unary", "Stream"])
def test_requests_are_counted_by_method(main: Container, method: str) -> None:
    def accepted() -> float:
        lines = main.server.get("/metrics").text.splitlines()
        wanted = ('name="' + main.server.model, f'method="{method}"', 'api="V3"', 'interface="REST"')
        (line,) = [
            line
            for line in lines
            if line.startswith("ovms_requests_accepted{") and all(label in line for label in wanted)
        ]
        return float(line.rpartition(" ")[2])

    before = accepted()
    assert main.server.chat(stream=method == "Stream").status_code == 200
    assert accepted() == before + 1


def test_a_metrics_list_limits_the_families(single: Container) -> None:
    text = single.server.get("/metrics").text

    assert "ovms_requests_accepted{" in text
    assert "ovms_responses" not in text


def test_ovms_streams_has_no_series_for_a_graph(single: Container) -> None:
    assert "ovms_streams{" not in single.server.get("/metrics").text
