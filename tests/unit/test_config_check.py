from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.config_file.check import check_config
from ovms_edge.config_file.metrics import default_families, graph_families
from ovms_edge.finding import Finding
from ovms_edge.ovms.graph import render_graph

SEED_NAME = "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8"
SEED = {
    "model_config_list": [{"config": {"name": SEED_NAME, "base_path": SEED_NAME}}],
    "monitoring": {"metrics": {"enable": True, "metrics_list": ["ovms_streams"]}},
}
VERSION = "2025.4.1"
FIRST_WITH_GRAPHS_AMONG_MODELS = "2025.1"


def check(
    config: object, directory: Path | None = None, version: str = VERSION, **more: Any
) -> list[Finding]:
    return check_config(json.dumps(config, indent=1), version, directory, **more)


def codes(findings: list[Finding], *severities: str) -> list[str]:
    return [finding.code for finding in findings if not severities or finding.severity in severities]


def only(findings: list[Finding], code: str) -> Finding:
    (found,) = (finding for finding in findings if finding.code == code)
    return found


def put_graph(directory: Path, name: str = "graph.pbtxt", text: str = "") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / name
    file.write_text(
        text or render_graph({"device": "GPU", "cache_size": 4, "max_tokens_limit": 512}, VERSION)
    )
    return file


def models(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"config": entry} for entry in entries]


def test_the_seeds_configuration_is_valid_and_its_metrics_show_nothing() -> None:
    found = check(SEED)
    assert codes(found, "error") == []
    warning = only(found, "metrics_without_series")
    assert codes(found, "warning") == ["metrics_without_series"]
    assert "ovms_streams" in warning.message
    assert "ovms_requests_accepted" in warning.fix
    assert "ovms_graph_processing_time_us" in warning.fix
    assert warning.path == "monitoring.metrics.metrics_list"


def test_what_the_project_ships_has_nothing_to_say_but_notes() -> None:
    shipped = Path(__file__).parents[2] / "ovms-service" / "models" / "config.json"
    assert codes(check_config(shipped.read_text(), VERSION), "error", "warning") == []


def monitored(listed: object = None, **metrics: object) -> dict[str, Any]:
    settings = {"enable": True, **({} if listed is None else {"metrics_list": listed}), **metrics}
    graph = {"name": "g", "base_path": "g"}
    return {"model_config_list": [], "mediapipe_config_list": [graph], "monitoring": {"metrics": settings}}


@pytest.mark.parametrize("version", ["2024.4", "2024.5", "2025.0", VERSION, "2026.3"])
def test_every_family_of_a_version_is_accepted(version: str) -> None:
    listed = [
        *default_families(version_numbers(version)),
        "ovms_infer_req_queue_size",
        "ovms_infer_req_active",
    ]
    assert codes(check(monitored(listed), version=version), "error") == []


def version_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


@pytest.mark.parametrize(
    ("listed", "version", "accepted"),
    [
        (["ovms_graph_request_latency_us"], VERSION, False),
        (["ovms_responses", "ovms_responses"], VERSION, False),
        (["ovms_response"], VERSION, False),
        (["ovms_graph_error"], "2024.5", False),
        (["ovms_graph_error"], "2025.0", True),
    ],
)
def test_a_family_that_ovms_does_not_take_ends_it(listed: list[str], version: str, accepted: bool) -> None:
    found = check(monitored(listed), version=version)
    assert codes(found, "error") == ([] if accepted else ["INVALID_METRICS_FAMILY_NAME"])


def test_a_name_that_is_nearly_right_is_mended_in_the_fix() -> None:
    assert "ovms_responses" in only(check(monitored(["ovms_response"])), "INVALID_METRICS_FAMILY_NAME").fix


@pytest.mark.parametrize(
    ("listed", "warned"),
    [
        (None, False),
        (list(graph_families((2025, 4, 1))), False),
        (["ovms_current_graphs"], False),
        (["ovms_current_graphs", "ovms_streams"], True),
        (["ovms_streams", "ovms_infer_req_active"], True),
        ([], True),
    ],
)
def test_metrics_that_show_nothing_of_a_graph_are_warned_of(listed: list[str] | None, warned: bool) -> None:
    assert ("metrics_without_series" in codes(check(monitored(listed)))) is warned


def test_metrics_of_a_classic_model_are_of_use_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "resnet" / "1").mkdir(parents=True)
    put_graph(tmp_path / "g")
    config = monitored(["ovms_current_graphs", "ovms_streams"])
    config["model_config_list"] = models({"name": "resnet", "base_path": "resnet"})
    assert "metrics_without_series" not in codes(check(config, tmp_path))


def test_a_list_that_is_switched_off_has_no_effect() -> None:
    assert codes(check(monitored(["ovms_responses"], enable=False)), "warning") == ["metrics_off"]


@pytest.mark.parametrize(
    ("port", "severity"), [(None, "note"), (0, "error"), (8000, None)], ids=["unknown", "none", "given"]
)
def test_metrics_need_the_rest_port(port: int | None, severity: str | None) -> None:
    found = check(monitored(), rest_port=port)
    expected = {"note": "metrics_need_rest_port", "error": "METRICS_REST_PORT_MISSING"}
    assert [(finding.severity, finding.code) for finding in found] == (
        [(severity, expected[severity])] if severity else []
    )


@pytest.mark.parametrize(
    ("name", "severity", "code"),
    [
        ("plain-name_1.0", None, None),
        ("Qwen/vlm", "note", "name_needs_escape"),
        ("a b", "note", "name_needs_escape"),
        ('a"b', "warning", "name_breaks_status"),
        ("a\\b", "warning", "name_breaks_status"),
        ("a\nb", "warning", "name_breaks_status"),
        ("", "warning", "name_breaks_status"),
    ],
)
def test_names_that_are_trouble_are_named(name: str, severity: str | None, code: str | None) -> None:
    found = check({"model_config_list": models({"name": name, "base_path": "x"})})
    assert [(finding.severity, finding.code) for finding in found] == ([(severity, code)] if code else [])


def test_the_escaped_form_is_shown() -> None:
    assert (
        "Qwen%2Fvlm"
        in only(check({"model_config_list": models({"name": "Qwen/vlm"})}), "name_needs_escape").message
    )


def twice(tmp_path: Path, first: str, second: str) -> Finding | None:
    """Check a file that names ``n`` twice, as the two kinds; return what is said of it."""
    put_graph(tmp_path / "graph-1")
    put_graph(tmp_path / "graph-2")
    for number in (1, 2):
        (tmp_path / f"model-{number}" / "1").mkdir(parents=True)
    config: dict[str, Any] = {"model_config_list": []}
    for number, kind in ((1, first), (2, second)):
        entry = {"name": "n", "base_path": f"{'model' if kind == 'model' else 'graph'}-{number}"}
        if kind == "older":
            config.setdefault("mediapipe_config_list", []).append(entry)
        elif kind == "pipeline":
            pipeline = {"name": "n", "nodes": [], "inputs": [], "outputs": []}
            config.setdefault("pipeline_config_list", []).append(pipeline)
        else:
            config["model_config_list"] += models(entry)
    found = [finding for finding in check(config, tmp_path, graphs=False) if finding.severity != "note"]
    return found[0] if len(found) == 1 else None


@pytest.mark.parametrize(
    ("first", "second", "code", "path"),
    [
        ("model", "model", "MODEL_NAME_OCCUPIED", "model_config_list[1].config.name"),
        ("model", "graph", "MEDIAPIPE_GRAPH_NAME_OCCUPIED", "model_config_list[1].config.name"),
        ("graph", "model", "MEDIAPIPE_GRAPH_NAME_OCCUPIED", "model_config_list[0].config.name"),
        ("graph", "graph", "duplicate_name", "model_config_list[1].config.name"),
        ("graph", "older", "duplicate_name", "model_config_list[0].config.name"),
        ("older", "older", "duplicate_name", "mediapipe_config_list[1].name"),
        ("model", "older", "MEDIAPIPE_GRAPH_NAME_OCCUPIED", "mediapipe_config_list[0].name"),
        ("model", "pipeline", "PIPELINE_NAME_OCCUPIED", "pipeline_config_list[0].name"),
        ("graph", "pipeline", "MEDIAPIPE_GRAPH_NAME_OCCUPIED", "model_config_list[0].config.name"),
        ("pipeline", "pipeline", "duplicate_name", "pipeline_config_list[1].name"),
    ],
)
def test_of_two_with_one_name_ovms_keeps_the_one_that_it_loads_first(
    tmp_path: Path, first: str, second: str, code: str, path: str
) -> None:
    found = twice(tmp_path, first, second)
    assert found is not None
    assert (found.code, found.path) == (code, path)


def test_two_with_one_name_are_noticed_without_their_directories() -> None:
    found = check({"model_config_list": models({"name": "n"}, {"name": "n"})})
    assert codes(found, "warning") == ["duplicate_name"]


@pytest.mark.parametrize(
    ("entry", "graph"),
    [
        ({"name": "n"}, "n/graph.pbtxt"),
        ({"name": "n", "base_path": ""}, "n/graph.pbtxt"),
        ({"name": "n", "base_path": "elsewhere"}, "elsewhere/graph.pbtxt"),
        ({"name": "n", "base_path": "elsewhere/"}, "elsewhere/graph.pbtxt"),
        ({"name": "n", "base_path": "elsewhere"}, "elsewhere/1/graph.pbtxt"),
        ({"name": "n", "base_path": "elsewhere", "graph_path": "my.pbtxt"}, "elsewhere/my.pbtxt"),
    ],
)
def test_a_graph_is_found_where_ovms_looks(tmp_path: Path, entry: dict[str, Any], graph: str) -> None:
    put_graph((tmp_path / graph).parent, Path(graph).name)
    assert codes(check({"model_config_list": models(entry)}, tmp_path), "error", "warning") == []


@pytest.mark.parametrize(
    ("base_path", "code", "fix"),
    [
        ("missing", "PATH_INVALID", "correct base_path"),
        ("../outside", "PATH_INVALID", "correct base_path"),
        ("empty", "MEDIAPIPE_DEFINITION_NAME_MISSING", "graph.pbtxt is missing"),
        ("version-2-only", "MEDIAPIPE_DEFINITION_NAME_MISSING", "graph.pbtxt is missing"),
    ],
)
def test_a_directory_without_a_graph_serves_nothing(
    tmp_path: Path, base_path: str, code: str, fix: str
) -> None:
    (tmp_path / "empty").mkdir()
    put_graph(tmp_path / "version-2-only" / "v2")
    found = check({"model_config_list": models({"name": "n", "base_path": base_path})}, tmp_path)
    assert codes(found, "error") == [code]
    assert fix in only(found, code).fix


def test_no_version_found_is_quoted_with_what_it_means(tmp_path: Path) -> None:
    (tmp_path / "n").mkdir()
    message = only(
        check({"model_config_list": models({"name": "n"})}, tmp_path), "MEDIAPIPE_DEFINITION_NAME_MISSING"
    )
    assert "No version found for model in path" in message.message


@pytest.mark.parametrize(("version", "served"), [("2024.4", False), ("2025.0", False), ("2025.1", True)])
def test_a_graph_among_models_is_found_since_2025_1(tmp_path: Path, version: str, served: bool) -> None:
    put_graph(tmp_path / "n")
    config = {"model_config_list": models({"name": "n", "base_path": "n"})}
    found = check(config, tmp_path, version, graphs=False)
    assert (codes(found, "error") == []) is served
    if not served:
        assert "mediapipe_config_list" in only(found, "MEDIAPIPE_DEFINITION_NAME_MISSING").fix
    older_form = {"model_config_list": [], "mediapipe_config_list": [{"name": "n"}]}
    assert codes(check(older_form, tmp_path, version, graphs=False), "error") == []


def test_a_plain_model_is_said_to_be_unchecked(tmp_path: Path) -> None:
    (tmp_path / "m/1").mkdir(parents=True)
    found = check({"model_config_list": models({"name": "m", "base_path": "m"})}, tmp_path)
    assert [(finding.severity, finding.code) for finding in found] == [("note", "not_checked")]


def test_a_plain_model_without_base_path_is_not_looked_for_below_its_name(tmp_path: Path) -> None:
    (tmp_path / "a/m/1").mkdir(parents=True)
    found = check({"model_config_list": models({"name": "a/m"})}, tmp_path)
    missing = only(found, "MEDIAPIPE_DEFINITION_NAME_MISSING")
    assert f'No version found for model in path: {tmp_path}"' in missing.message


def test_without_the_directory_an_older_version_is_warned_about_what_may_be_a_graph() -> None:
    config = {"model_config_list": models({"name": "n", "base_path": "n"})}
    assert codes(check(config, version="2025.0")) == ["graph_among_models"]
    classic = {"model_config_list": models({"name": "n", "base_path": "n", "nireq": 4})}
    assert codes(check(classic, version="2025.0")) == []


def test_a_graph_of_the_older_list_has_to_be_there(tmp_path: Path) -> None:
    config = {"model_config_list": [], "mediapipe_config_list": [{"name": "n"}]}
    found = only(check(config, tmp_path), "FILE_INVALID")
    assert "Failed to open mediapipe graph definition: n" in found.message


@pytest.mark.parametrize("key", ["target_device", "plugin_config", "nireq"])
def test_settings_that_do_not_reach_a_graph_are_warned_of(tmp_path: Path, key: str) -> None:
    put_graph(tmp_path / "n")
    value = {"target_device": "GPU", "plugin_config": {"NUM_STREAMS": 1}, "nireq": 2}[key]
    found = check({"model_config_list": models({"name": "n", key: value})}, tmp_path)
    assert codes(found, "warning") == ["no_effect_on_graph"]
    assert only(found, "no_effect_on_graph").path == f"model_config_list[0].config.{key}"


def test_an_absolute_path_counts_inside_the_container(tmp_path: Path) -> None:
    config = {"model_config_list": models({"name": "n", "base_path": "/models/no-such-directory"})}
    assert codes(check(config, tmp_path)) == ["absolute_base_path"]
    put_graph(tmp_path / "n")
    here = {"model_config_list": models({"name": "n", "base_path": str(tmp_path / "n")})}
    assert codes(check(here, tmp_path)) == ["absolute_base_path"]


def test_a_graph_that_ovms_may_not_read_counts_as_missing(tmp_path: Path) -> None:
    put_graph(tmp_path / "n").chmod(0o600)
    config = {"model_config_list": models({"name": "n"})}
    expected = [] if os.getuid() == 5000 else ["closed_to_ovms"]
    assert codes(check(config, tmp_path), "warning") == expected


def test_models_of_a_graph_are_not_read_after_one_that_lists_none(tmp_path: Path) -> None:
    put_graph(tmp_path / "vlm")
    (tmp_path / "vlm" / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    put_graph(tmp_path / "other")
    (tmp_path / "other" / "subconfig.json").write_text('{"model_config_list": []}')
    first = {"model_config_list": models({"name": "vlm"}, {"name": "other"})}
    assert codes(check(first, tmp_path, graphs=False), "warning") == ["subconfig_unread"]
    last = {"model_config_list": models({"name": "other"}, {"name": "vlm"})}
    assert codes(check(last, tmp_path, graphs=False), "warning") == []


def test_a_configuration_without_servables_serves_nothing() -> None:
    assert codes(check({"model_config_list": []})) == ["nothing_served"]


def test_the_graphs_are_checked_with_the_configuration(tmp_path: Path) -> None:
    good = render_graph({"device": "GPU", "cache_size": 4, "max_tokens_limit": 512}, VERSION)
    put_graph(tmp_path / "n", text=good.replace("cache_size:", "block_size: 32\n      cache_size:"))
    config = {"model_config_list": models({"name": "n"})}
    found = check(config, tmp_path)
    (error,) = (finding for finding in found if finding.severity == "error")
    assert error.code == "MEDIAPIPE_GRAPH_CONFIG_FILE_INVALID"
    assert error.message.startswith("n/graph.pbtxt:")
    assert (error.line, error.path.split()[0]) == (5, "model_config_list[0].config.name")
    assert codes(check(config, tmp_path, graphs=False), "error") == []
