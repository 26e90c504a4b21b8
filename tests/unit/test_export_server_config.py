from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.export.server_config import base_path_for, check_mergeable, update_config
from ovms_edge.ovms.config import with_servable

VERSION = "2025.4.1"
OTHER = {"config": {"name": "resnet", "base_path": "resnet", "nireq": 4}}
MONITORING = {"metrics": {"enable": True, "metrics_list": ["ovms_requests_accepted"]}}


def test_new_file_holds_what_ovms_requires(tmp_path: Path) -> None:
    config_file = tmp_path / "made" / "config.json"
    assert update_config(config_file, "Qwen/x", tmp_path / "made" / "Qwen" / "x", VERSION)
    assert json.loads(config_file.read_text()) == {
        "model_config_list": [{"config": {"name": "Qwen/x", "base_path": "Qwen/x"}}]
    }


def test_other_entries_and_settings_stay_as_they_are() -> None:
    config = {
        "model_config_list": [OTHER],
        "monitoring": MONITORING,
        "mediapipe_config_list": [{"name": "m"}],
    }
    merged = with_servable(config, "Qwen/x", "Qwen/x")
    assert merged["model_config_list"] == [OTHER, {"config": {"name": "Qwen/x", "base_path": "Qwen/x"}}]
    assert merged["monitoring"] == MONITORING
    assert merged["mediapipe_config_list"] == [{"name": "m"}]
    assert config["model_config_list"] == [OTHER]


def test_own_entry_is_updated_and_keeps_its_other_keys() -> None:
    entry = {"config": {"name": "Qwen/x", "base_path": "/old", "graph_path": "graph.pbtxt"}}
    merged = with_servable({"model_config_list": [entry]}, "Qwen/x", "Qwen/x")
    expected = {"name": "Qwen/x", "base_path": "Qwen/x", "graph_path": "graph.pbtxt"}
    assert merged["model_config_list"] == [{"config": expected}]


def test_file_is_untouched_if_nothing_changes(tmp_path: Path) -> None:
    config_file = tmp_path / "config.json"
    config_file.write_text('{"model_config_list":[{"config":{"name":"x","base_path":"x"}}]}')
    before = config_file.stat().st_ino, config_file.read_bytes()
    assert not update_config(config_file, "x", tmp_path / "x", VERSION)
    assert (config_file.stat().st_ino, config_file.read_bytes()) == before


def test_name_served_from_the_older_list_is_refused() -> None:
    with pytest.raises(EdgeError, match="mediapipe_config_list"):
        with_servable({"mediapipe_config_list": [{"name": "x"}]}, "x", "x")


@pytest.mark.parametrize("content", ["{", "[]", '"text"', '{"model_config_list": {}}'])
def test_file_that_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    config_file = tmp_path / "config.json"
    config_file.write_text(content)
    with pytest.raises(EdgeError, match=r"config\.json"):
        check_mergeable(config_file, "x", tmp_path / "x", VERSION)
    assert config_file.read_text() == content


@pytest.mark.parametrize(
    ("target", "config_file", "expected"),
    [
        ("/repository/Qwen/x", "/repository/config.json", "Qwen/x"),
        ("/repository/x", "/etc/ovms/config.json", "/repository/x"),
    ],
)
def test_base_path_is_relative_below_the_config_only(target: str, config_file: str, expected: str) -> None:
    assert base_path_for(Path(target), Path(config_file)) == expected


def test_the_repository_in_the_project_is_a_valid_start() -> None:
    shipped: dict[str, Any] = json.loads(
        (Path(__file__).parents[2] / "ovms-service/models/config.json").read_text()
    )
    name = "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8"
    assert with_servable(shipped, name, name) == shipped


def test_exports_that_end_together_are_all_entered(tmp_path: Path) -> None:
    config_file, names = tmp_path / "config.json", [f"model-{number}" for number in range(16)]
    with ThreadPoolExecutor(len(names)) as pool:
        assert all(pool.map(lambda name: update_config(config_file, name, tmp_path / name, VERSION), names))
    entered = [entry["config"]["name"] for entry in json.loads(config_file.read_text())["model_config_list"]]
    assert sorted(entered) == sorted(names)
