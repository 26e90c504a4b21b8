from __future__ import annotations

import json
from typing import Any

import pytest

from ovms_edge.config_file.check import check_config
from ovms_edge.errors import EdgeError
from tests.contract.test_config import WRONG

VERSIONS = (
    "2024.4",
    "2024.5",
    "2025.0",
    "2025.1",
    "2025.2",
    "2025.3",
    "2025.4.1",
    "2026.0",
    "2026.2.1",
    "2026.3",
)
CONFIG = "model_config_list[0].config"
ENTRY = {"name": "vlm", "base_path": "vlm"}


def errors(config: object, version: str = "2025.4.1") -> list[tuple[str, str, str]]:
    """Return path, code and fix of each error."""
    text = config if isinstance(config, str) else json.dumps(config)
    found = check_config(text, version)
    return [(finding.path, finding.code, finding.fix) for finding in found if finding.severity == "error"]


def with_entry(**settings: Any) -> dict[str, Any]:
    return {"model_config_list": [{"config": {**ENTRY, **settings}}]}


@pytest.mark.parametrize("config", WRONG, ids=[str(config) for config in WRONG])
def test_what_ends_the_server_in_the_contract_suite_is_an_error(config: object) -> None:
    assert errors(config)


FULL_ENTRY = {
    **ENTRY,
    "batch_size": "auto",
    "model_version_policy": {"specific": {"versions": [1, 3]}},
    "shape": {"input": "(1,3,-1,-1)"},
    "layout": "NHWC:NCHW",
    "nireq": 4,
    "target_device": "GPU",
    "allow_cache": True,
    "plugin_config": {"NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "flag": True},
    "custom_loader_options": {"loader_name": "loader", "any": ["thing"]},
}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_every_version_knows_is_accepted(version: str) -> None:
    config = {
        "model_config_list": [{"config": FULL_ENTRY}],
        "mediapipe_config_list": [
            {"name": "graph", "base_path": "g", "graph_path": "graph.pbtxt", "subconfig": "s.json"},
            {"name": "by-name"},
        ],
        "pipeline_config_list": [],
        "custom_loader_config_list": [{"config": {"loader_name": "l", "library_path": "/l.so"}}],
        "custom_node_library_config_list": [{"name": "n", "base_path": "/n.so"}],
        "monitoring": {"metrics": {"enable": True}},
    }
    assert errors(config, version) == []


@pytest.mark.parametrize(
    ("settings", "first", "last"),
    [
        ({"graph_path": "g.pbtxt"}, "2025.1", "2026.3"),
        ({"subconfig": "s.json"}, "2025.1", "2026.3"),
        ({"stateful": True, "max_sequence_number": 5}, "2024.4", "2026.2.1"),
    ],
)
def test_a_key_is_accepted_by_the_versions_that_have_it(
    settings: dict[str, Any], first: str, last: str
) -> None:
    accepted = [version for version in VERSIONS if not errors(with_entry(**settings), version)]
    assert (accepted[0], accepted[-1]) == (first, last)
    assert accepted == list(VERSIONS[VERSIONS.index(first) : VERSIONS.index(last) + 1])


def test_base_path_may_be_left_out_since_2025_1() -> None:
    config = {"model_config_list": [{"config": {"name": "vlm"}}]}
    assert [bool(errors(config, version)) for version in ("2025.0", "2025.1")] == [True, False]


@pytest.mark.parametrize(
    ("config", "version", "path", "fix"),
    [
        ({"model_config_list": [], "_why": ""}, "2025.4.1", "_why", "no comment"),
        ({"mediapipe_config_list": []}, "2025.4.1", "", 'add "model_config_list": []'),
        (with_entry(target_devise="GPU"), "2025.4.1", f"{CONFIG}.target_devise", "'target_device'"),
        (with_entry(graph_path="g"), "2025.0", f"{CONFIG}.graph_path", "mediapipe_config_list"),
        (with_entry(stateful=True), "2026.3", "model_config_list[0].config.stateful", "2026.3"),
        ({"model_config_list": [ENTRY]}, "2025.4.1", "model_config_list[0].name", "into 'config'"),
        (with_entry(nireq=-1), "2025.4.1", "model_config_list[0].config.nireq", "0 or more"),
        (with_entry(nireq=1.0), "2025.4.1", "model_config_list[0].config.nireq", "a whole number"),
        (with_entry(nireq=True), "2025.4.1", "model_config_list[0].config.nireq", "a whole number"),
        (
            with_entry(model_version_policy={"latest": {"num_versions": 0}}),
            "2025.4.1",
            "model_config_list[0].config.model_version_policy.latest.num_versions",
            "1 or more",
        ),
        (
            with_entry(model_version_policy={"all": {}, "latest": {"num_versions": 1}}),
            "2025.4.1",
            "model_config_list[0].config.model_version_policy",
            "keep one",
        ),
        (
            {"model_config_list": [], "mediapipe_config_list": [{"name": "g", "device": "GPU"}]},
            "2025.4.1",
            "mediapipe_config_list[0].device",
            "graph.pbtxt",
        ),
        (
            {"model_config_list": [], "monitoring": {"metrics": {"enable": True, "endpoint_path": "/m"}}},
            "2025.4.1",
            "monitoring.metrics.endpoint_path",
            "/metrics",
        ),
    ],
)  # fmt: skip
def test_a_violation_is_named_with_its_place_and_its_fix(
    config: object, version: str, path: str, fix: str
) -> None:
    found = errors(config, version)
    assert (path, "JSON_INVALID") in [(where, code) for where, code, _ in found]
    assert any(fix in text for where, _, text in found if where == path)


@pytest.mark.parametrize(
    ("node", "accepted"),
    [
        ({"type": "DL model", "model_name": "m"}, True),
        ({"type": "DL model", "library_name": "l"}, False),
        ({"type": "custom", "library_name": "l"}, True),
        ({"type": "custom", "library_name": "l", "model_name": "m"}, False),
        ({"type": "other", "model_name": "m"}, False),
    ],
)
def test_a_node_has_what_its_type_needs(node: dict[str, Any], accepted: bool) -> None:
    node = {"name": "n", "inputs": [], "outputs": [], **node}
    pipeline = {"name": "p", "nodes": [node], "inputs": [], "outputs": []}
    assert (errors({"model_config_list": [], "pipeline_config_list": [pipeline]}) == []) is accepted


def test_every_violation_is_reported_where_it_stands() -> None:
    text = '{\n "model_config_list": [],\n "a": 1,\n "monitoring": {"metrics": {"enable": 1}}\n}'
    found = check_config(text, "2025.4.1")
    assert [(finding.line, finding.column) for finding in found] == [(3, 2), (4, 39)]


TWICE_METRICS = '"metrics": {"enable": true}, "metrics": {"enable": true}'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"model_config_list": [], "model_config_list": []', ("warning", "repeated_key")),
        ('"model_config_list": [{"config": {"name": "a", "name": "b"}}]', ("warning", "repeated_key")),
        (
            '"model_config_list": [{"config": {"name": "a"}, "config": {"name": "b"}}]',
            ("error", "JSON_INVALID"),
        ),
        (f'"model_config_list": [], "monitoring": {{{TWICE_METRICS}}}', ("error", "JSON_INVALID")),
    ],
)
def test_a_key_given_twice_is_an_error_only_where_ovms_counts_keys(text: str, found: tuple[str, str]) -> None:
    findings = check_config(f"{{{text}}}", "2025.4.1")
    assert found in [(finding.severity, finding.code) for finding in findings]


def test_a_version_that_nobody_knows_is_refused() -> None:
    with pytest.raises(EdgeError, match="2023"):
        check_config('{"model_config_list": []}', "2023.3")


def test_the_later_value_of_a_key_is_checked_too() -> None:
    assert errors('{"model_config_list": [], "model_config_list": 5}')
