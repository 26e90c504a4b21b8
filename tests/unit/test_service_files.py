"""The files of ovms-service, as far as they can be judged without running them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ovms_edge.export.arguments import parse_arguments
from ovms_edge.ovms.memory import GIB

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "ovms-service"
README = (SERVICE / "README.md").read_text()
NAME = "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8"
COMPOSE: dict[str, Any] = yaml.safe_load((SERVICE / "docker-compose.yaml").read_text())
GRAPH_METRICS = {  # model_server v2025.4.1, docs/metrics.md: those of MediaPipe graphs
    "ovms_current_graphs",
    "ovms_requests_accepted",
    "ovms_requests_rejected",
    "ovms_responses",
    "ovms_graph_error",
    "ovms_graph_processing_time_us",
}

both_services = pytest.mark.parametrize("service", COMPOSE["services"].values(), ids=COMPOSE["services"])


def export_command(text: str) -> list[str]:
    """Return the words of the only call of export_model.py in ``text``."""
    [command] = re.findall(r"export_model\.py (text_generation \\\n(?:.*\\\n)*.*)\n", text)
    return str(command).replace("\\\n", " ").split()


def test_export_packages_are_those_of_the_projects_export_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {re.split("==", entry)[0]: entry for entry in project["optional-dependencies"]["export"]}
    lines = (SERVICE / "export_requirements.txt").read_text().splitlines()
    pinned = {line.split("==")[0]: line for line in lines if line and not line.startswith("#")}
    assert all(re.fullmatch(r"[a-z_-]+==[\w.]+", line) for line in pinned.values())
    assert pinned.keys() >= extra.keys()
    assert {name: pinned[name] for name, entry in extra.items() if "==" in entry} == {
        name: entry for name, entry in extra.items() if "==" in entry
    }


def test_one_profile_has_the_gpu_and_the_other_does_without() -> None:
    gpu, cpu = COMPOSE["services"]["ovms-vlm"], COMPOSE["services"]["ovms-vlm-cpu"]
    assert (gpu["profiles"], cpu["profiles"]) == (["ovms"], ["ovms-cpu"])
    assert "RENDER_GID:?" in gpu["group_add"][0], "the group is this host's own"
    assert gpu["devices"] == ["/dev/dri:/dev/dri"]
    assert "devices" not in cpu
    assert "group_add" not in cpu


@both_services
def test_compose_serves_http_and_not_grpc_on_localhost_only(service: dict[str, Any]) -> None:
    words = service["command"].split()
    assert "--port" not in words
    port = words[words.index("--rest_port") + 1]
    assert service["ports"] == [f"${{OVMS_BIND:-127.0.0.1}}:${{OVMS_PORT:-8002}}:{port}"]


@both_services
def test_the_health_check_asks_for_the_servable_by_name(service: dict[str, Any]) -> None:
    assert service["healthcheck"]["test"][-1] == f"http://127.0.0.1:8000/v3/models/${{OVMS_MODEL:-{NAME}}}"


@both_services
def test_compose_gives_the_server_no_more_than_it_needs(service: dict[str, Any]) -> None:
    assert service["user"] == "5000:5000"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["volumes"] == ["./models:/models:ro", "cache:/home/ovms"]
    assert service["mem_limit"] == service["memswap_limit"]
    assert service["pids_limit"] == 1024
    assert service["restart"] == "always"


def test_the_network_has_no_way_out() -> None:
    assert COMPOSE["networks"]["ovms"]["driver_opts"] == {
        "com.docker.network.bridge.enable_ip_masquerade": "false"
    }


def test_the_repository_asks_for_metrics_that_a_graph_has() -> None:
    config = json.loads((SERVICE / "models/config.json").read_text())
    assert set(config["monitoring"]["metrics"]["metrics_list"]) == GRAPH_METRICS
    assert config["model_config_list"] == [{"config": {"name": NAME, "base_path": NAME}}]


def test_the_command_of_the_readme_is_one_that_the_exporter_takes() -> None:
    options = parse_arguments(export_command(README))
    assert options.model_name == NAME
    assert (options.cache_size, options.max_num_seqs, options.enable_prefix_caching) == (4, 1, True)


def test_the_compile_cache_is_in_a_volume_that_the_server_can_write() -> None:
    volumes = COMPOSE["services"]["ovms-vlm"]["volumes"]
    home = next(volume.split(":")[1] for volume in volumes if volume.startswith("cache:"))
    for text in (README, (SERVICE / "setup_models.sh").read_text()):
        assert f"--ov_cache_dir {home}/cache" in text


def test_the_readme_and_the_setup_script_export_alike() -> None:
    def graph_options(text: str) -> list[str]:
        words = re.sub(r"\s+\\\n\s+", " ", text.split("--weight-format int8")[1])
        options = re.findall(r"--(?:max_num_seqs 1|enable_prefix_caching|ov_cache_dir \S+)", words)
        return sorted(set(options))

    assert len(graph_options(README)) == 3
    assert graph_options(README) == graph_options((SERVICE / "setup_models.sh").read_text())


def test_the_readme_fits_its_promise_of_the_cache() -> None:
    bytes_per_token = 28 * 4 * 128 * 2 * 2  # config.json of Qwen2.5-VL-7B-Instruct; key and value, 16 bits
    tokens = 4 * GIB // bytes_per_token
    assert f"4 GiB hold {tokens // 1000} 000 tokens" in README


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200
