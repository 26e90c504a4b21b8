from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ovms_edge.node.metrics import prometheus_text
from tests.unit import prometheus_text as reader

STATUS: dict[str, Any] = {
    "ok": True,
    "run": "r1",
    "at": "2026-01-02T00:00:00Z",
    "active": {
        "release": "vlm@2",
        "servable": "org/vlm",
        "since": "2026-01-01T00:00:00Z",
        "summary": {"release": "vlm@2", "image": "depot.example:5000/ovms:1", "device": "GPU"},
        "slot": "b",
        "tier": "A",
    },
    "previous": None,
    "pending": {"release": "vlm@3", "spec": "x", "generation": "g", "started": "2026-01-01T12:00:00Z"},
    "route": "b",
    "server": {"container": "running", "restarts": 3, "state": "AVAILABLE", "error_code": "OK"},
    "gate": {
        "at": "2026-01-01T00:00:10Z",
        "ok": False,
        "reason": "late",
        "release": "vlm@2",
        "warm_up_seconds": 4.5,
        "first_token_seconds": 0.25,
        "total_seconds": 2.0,
        "passed_at": "2026-01-01T00:00:05Z",
    },
    "switches": {
        "counts": {"activated": 5, "repaired": 1, "rolled_back": 0, "settled": 2, "failed": 7},
        "last": [],
    },
    "failed": [
        {"release": "vlm@3", "reason": "wrong answer", "at": "2026-01-01T01:00:00Z"},
        {"release": "vlm@3", "reason": "another tuning", "at": "2026-01-01T02:00:00Z"},
    ],
    "disk": {"path": "/var/lib/ovms-edge", "total_bytes": 1000, "free_bytes": 400},
    "releases": [{"release": "vlm@1", "bytes": 10}, {"release": "vlm@2", "bytes": 20}],
}
NOTHING: dict[str, Any] = {
    **STATUS,
    **dict.fromkeys(("active", "pending", "route", "server", "gate")),
    "failed": [],
    "releases": [],
    "switches": {"counts": {"activated": 0}, "last": []},
}
NEW_YEAR = 1767225600


def samples(status: dict[str, Any], name: str) -> dict[tuple[tuple[str, str], ...], float]:
    return reader.read(prometheus_text(status))[f"ovms_edge_{name}"].samples


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status_timestamp_seconds", NEW_YEAR + 86400),
        ("active_release_since_timestamp_seconds", NEW_YEAR),
        ("server_available", 1),
        ("server_restarts_total", 3),
        ("gate_ok", 0),
        ("gate_timestamp_seconds", NEW_YEAR + 10),
        ("gate_passed_timestamp_seconds", NEW_YEAR + 5),
        ("gate_warm_up_seconds", 4.5),
        ("gate_first_token_seconds", 0.25),
        ("gate_answer_seconds", 2),
        ("switch_pending", 1),
        ("switch_pending_since_timestamp_seconds", NEW_YEAR + 43200),
    ],
)
def test_a_node_has_one_value(name: str, value: float) -> None:
    assert samples(STATUS, name) == {(): value}


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("gateway_route", "route", {"a": 0, "b": 1, "hold": 0}),
        (
            "switches_total",
            "result",
            {"activated": 5, "repaired": 1, "rolled_back": 0, "settled": 2, "failed": 7},
        ),
        ("staged_release_size_bytes", "release", {"vlm@1": 10, "vlm@2": 20}),
        ("failed_release_timestamp_seconds", "release", {"vlm@3": NEW_YEAR + 7200}),
        ("disk_size_bytes", "path", {"/var/lib/ovms-edge": 1000}),
        ("disk_free_bytes", "path", {"/var/lib/ovms-edge": 400}),
    ],
)
def test_a_family_has_a_value_for_each(name: str, label: str, values: dict[str, float]) -> None:
    assert samples(STATUS, name) == {((label, key),): value for key, value in values.items()}


def test_what_is_active_is_told_by_labels() -> None:
    ((labels, value),) = samples(STATUS, "active_release_info").items()
    assert value == 1
    assert dict(labels) == {
        "release": "vlm@2",
        "servable": "org/vlm",
        "slot": "b",
        "tier": "A",
        "image": "depot.example:5000/ovms:1",
        "device": "GPU",
    }


def test_a_node_on_which_nothing_is_active_says_only_what_it_knows() -> None:
    families = reader.read(prometheus_text(NOTHING))
    assert set(families) == {
        "ovms_edge_status_timestamp_seconds",
        "ovms_edge_switches_total",
        "ovms_edge_switch_pending",
        "ovms_edge_disk_size_bytes",
        "ovms_edge_disk_free_bytes",
    }
    assert families["ovms_edge_switch_pending"].samples == {(): 0}


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb", "a\\nb", "ü,{}=", ""])
def test_any_text_survives_as_a_label(text: str) -> None:
    status = {**STATUS, "releases": [{"release": text, "bytes": 1}]}
    assert samples(status, "staged_release_size_bytes") == {(("release", text),): 1}


@pytest.mark.parametrize("server", [None, {"container": "exited", "restarts": None, "state": None}])
def test_a_server_that_does_not_answer_is_not_available(server: dict[str, Any] | None) -> None:
    status = {**STATUS, "server": server}
    assert samples(status, "server_available") == {(): 0}
    assert "server_restarts" not in prometheus_text(status)


def test_a_time_that_cannot_be_read_is_left_out() -> None:
    status = {**STATUS, "active": {**STATUS["active"], "since": "yesterday"}}
    assert "active_release_since" not in prometheus_text(status)


def test_names_are_as_prometheus_wants_them() -> None:
    for name, family in reader.read(prometheus_text(STATUS)).items():
        assert re.fullmatch(r"ovms_edge_[a-z_]+", name)
        assert name.endswith("_total") == (family.kind == "counter")
        assert family.meaning.endswith(".")
        assert all(math.isfinite(value) for value in family.samples.values())


OPERATIONS = (Path(__file__).resolve().parents[2] / "docs/operations.md").read_text()


def test_the_documentation_names_every_metric_and_label_and_no_other() -> None:
    families = reader.read(prometheus_text(STATUS))
    assert set(re.findall(r"ovms_edge_\w+", OPERATIONS)) == set(families)
    rows = [row.split("|") for row in re.findall(r"^\| (`ovms_edge_.*) \|$", OPERATIONS, re.MULTILINE)]
    for metrics, labels, _ in rows:
        for metric in re.findall(r"`(\w+)`", metrics):
            told = set(re.findall(r"`(\w+)`", labels.partition(":")[0]))
            assert told == {key for key, _ in next(iter(families[metric].samples))}, metric


def test_the_example_alerts_are_rules_over_these_metrics() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", OPERATIONS, re.DOTALL)
    (group,) = yaml.safe_load(text)["groups"]
    for rule in group["rules"]:
        assert rule["alert"].startswith("OvmsEdge")
        assert "ovms_edge_" in rule["expr"]
        assert rule["annotations"]["summary"]


@pytest.mark.parametrize(
    "text",
    [
        "a 1",
        "a 1\n",
        "# HELP a b\n# TYPE b gauge\nb 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\na 2\n",
        '# HELP a b\n# TYPE a gauge\na{x="\\q"} 1\n',
        "# HELP a b\n# TYPE a gauge\na None\n",
    ],
)
def test_the_reader_of_these_tests_is_strict(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        reader.read(text)
