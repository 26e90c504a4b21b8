from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from ovms_edge.export.options import parse_arguments

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "ovms-service"


def compose_service() -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load((SERVICE / "docker-compose.yaml").read_text())["services"][
        "ovms-vlm"
    ]
    return service


def test_export_packages_are_those_of_the_projects_export_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {re.split("==", entry)[0]: entry for entry in project["optional-dependencies"]["export"]}
    lines = (SERVICE / "export_requirements.txt").read_text().splitlines()
    pinned = {line.split("==")[0]: line for line in lines if line and not line.startswith("#")}
    assert all(re.fullmatch(r"[a-z-]+==[\w.]+", line) for line in pinned.values())
    assert pinned.keys() == extra.keys()
    assert {name: pinned[name] for name, entry in extra.items() if "==" in entry} == {
        name: entry for name, entry in extra.items() if "==" in entry
    }


def test_compose_serves_http_and_not_grpc_on_localhost_only() -> None:
    service = compose_service()
    words = service["command"].split()
    assert "--rest_port" in words
    assert "--port" not in words
    port = words[words.index("--rest_port") + 1]
    assert service["ports"] == [f"127.0.0.1:8002:{port}"]


def test_compose_gives_the_server_no_more_than_it_needs() -> None:
    service = compose_service()
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["volumes"] == ["./models:/models:ro"]
    assert "RENDER_GID:?" in service["group_add"][0], "the group is this host's own"


def test_every_option_that_the_readme_names_exists() -> None:
    readme = (SERVICE / "README.md").read_text()
    table = readme[readme.index("| option |") : readme.index("The others:")]
    named = set(re.findall(r"`(--[a-z_-]+)`", table))
    values = {
        "--source_model": "a/b",
        "--model_name": "x",
        "--weight-format": "int8",
        "--target_device": "GPU",
        "--cache_size": "1",
        "--max_num_seqs": "1",
        "--max_num_batched_tokens": "1",
        "--kv_cache_precision": "u8",
        "--ov_cache_dir": "/cache",
    }
    flags = {"--enable_prefix_caching", "--trust_remote_code"}
    assert named == {*values, *flags}
    pairs = [word for pair in values.items() for word in pair]
    assert parse_arguments(["text_generation", *pairs, *flags]).model_name == "x"
