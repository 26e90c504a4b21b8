from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.node.config import load_node_config
from ovms_edge.node.settings import parse_server_settings

IMAGE = "depot.example:5000/openvino/model_server:2025.4.1-gpu"
NODE: dict[str, Any] = {
    "schema": 1,
    "state_dir": "/var/lib/ovms-edge",
    "sysfs_root": "/sys",
    "depot": {"url": "https://depot.example:5000", "ca_file": "/ca.pem", "credentials_file": "/c.json"},
    "allowed_signers_file": "/signers",
}


def test_image_alone_is_enough() -> None:
    settings = parse_server_settings({"image": IMAGE})
    assert (settings.cache_size, settings.tier) == (None, None)
    assert parse_server_settings(settings.document()) == settings


@pytest.mark.parametrize(
    ("change", "reason", "remedy"),
    [
        ({"cachesize": 4}, "'cachesize' is unknown", "did you mean cache_size"),
        ({"port": 8002}, "'port' is unknown", "valid are image"),
        ({"drain_timeout_seconds": "9"}, "drain_timeout_seconds is '9'", "a whole number"),
        ({"drain_timeout_seconds": 0}, "drain_timeout_seconds is 0", "1 or more"),
        ({"tier": "C"}, "tier is 'C'", "A (two models fit), B (one), or null"),
        ({"cache_size": True}, "cache_size is True", "a whole number"),
        ({"image": ""}, "image is ''", "text"),
        ({"servable": "../up"}, "servable is '../up'", "plain relative path"),
        ({"device": "NPU"}, "device is 'NPU'", "GPU"),
        ({"log_level": "info"}, "log_level is 'info'", "INFO"),
        ({"memory_limit_gib": 0}, "memory_limit_gib is 0", "1 or more"),
        ({"graph": {"block_size": 1}}, "block_size is unknown to OVMS 2025.4.1", "remove it"),
        ({"graph": {"device": "CPU"}}, "graph holds device", "beside graph"),
    ],
)
def test_a_wrong_setting_is_a_usage_error(change: dict[str, Any], reason: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_server_settings({"image": IMAGE, **change})
    assert reason in caught.value.reason
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("document", [{}, [], None, {"device": "CPU"}])
def test_settings_without_an_image_are_refused(document: object) -> None:
    with pytest.raises(UsageError):
        parse_server_settings(document)


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(EdgeError, match=r"'2023\.1' is not in the field matrix"):
        parse_server_settings({"image": IMAGE, "ovms_version": "2023.1"})


def test_node_config_is_read(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    path.write_text(json.dumps(NODE))
    config = load_node_config(path)
    assert config.depot.url == "https://depot.example:5000"
    assert config.depot.ca_file == Path("/ca.pem")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({**NODE, "colour": 1}, "'colour' is unknown"),
        ({**NODE, "schema": 2}, "schema 2"),
        ({**NODE, "depot": {"url": "depot.example:5000"}}, "not a depot URL"),
        ({**NODE, "depot": {"url": "https://user:secret@depot.example"}}, "holds a user or password"),
        ({**NODE, "depot": {"url": "http://depot.example:5000"}}, "has no TLS"),
        ({**NODE, "depot": {"uri": "https://depot.example"}}, "'uri' is unknown"),
        ({**NODE, "state_dir": 5}, "state_dir is 5"),
    ],
)
def test_a_wrong_node_config_is_refused(tmp_path: Path, document: object, reason: str) -> None:
    path = tmp_path / "node.json"
    path.write_text(json.dumps(document))
    with pytest.raises(EdgeError, match=reason):
        load_node_config(path)


def test_a_missing_node_config_says_which_role_writes_it(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"role ovms\.edge\.node_agent"):
        load_node_config(tmp_path / "node.json")
