from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.graph.reader import read_graph
from ovms_edge.manifest import Manifest, Memory, ReleaseFile
from ovms_edge.node.container import Host, desired_server
from ovms_edge.node.gpu import Gpu
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.ovms.memory import GIB

GPU = Gpu("0000:00:02.0", "8086:7d55", "i915", "/dev/dri/renderD128", 993, "meteor-lake", True)
HOST = Host(32 * GIB, GPU, "ovms-edge-server")
SETTINGS: dict[str, Any] = {"image": "depot:5000/openvino/model_server:2025.4.1-gpu", "servable": "Qwen/vlm"}
MANIFEST = Manifest(
    name="vlm",
    version="1.0.0",
    created="2026-01-01T00:00:00Z",
    source={},
    ovms_versions=("2025.4.1",),
    graph={"cache_size": 10, "max_num_seqs": 1, "plugin_config": '{"NUM_STREAMS": 1}'},
    memory=Memory(8 * GIB, 57344),
    files=(ReleaseFile("a.bin", 1, "0" * 64),),
)


def body(**changes: Any) -> dict[str, Any]:
    server = desired_server(parse_server_settings({**SETTINGS, **changes}), MANIFEST, HOST)
    return server.body(Path("/m"), Path("/c"), address="172.31.253.2")


def spec(host: Host = HOST, manifest: Manifest = MANIFEST, **changes: Any) -> str:
    return desired_server(parse_server_settings({**SETTINGS, **changes}), manifest, host).spec


def test_container_is_confined() -> None:
    found = body()
    host = found["HostConfig"]
    assert found["User"] == "5000:5000"
    assert host["GroupAdd"] == ["993"]
    assert host["CapDrop"] == ["ALL"]
    assert host["ReadonlyRootfs"] is True
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Memory"] == host["MemorySwap"] == 30 * GIB
    assert host["PidsLimit"] > 0
    assert host["RestartPolicy"] == {"Name": "no"}, "it is for those that passed the gate"
    assert {mount["Target"]: mount["ReadOnly"] for mount in host["Mounts"]} == {
        "/models": True,
        "/cache": False,
    }
    assert "Privileged" not in host


def test_command_serves_rest_and_never_grpc() -> None:
    command = body()["Cmd"]
    assert command[command.index("--rest_port") + 1] == "8000"
    assert command[command.index("--file_system_poll_wait_seconds") + 1] == "0"
    assert "--port" not in command


def test_it_is_found_at_the_address_of_its_slot_and_nowhere_else() -> None:
    found = body()
    assert "PortBindings" not in found["HostConfig"]
    assert found["HostConfig"]["NetworkMode"] == "ovms-edge-server"
    (endpoint,) = found["NetworkingConfig"]["EndpointsConfig"].items()
    assert endpoint == ("ovms-edge-server", {"IPAMConfig": {"IPv4Address": "172.31.253.2"}})


def test_spec_does_not_depend_on_the_slot() -> None:
    assert spec() == spec()
    assert body()["Labels"]["ovms-edge.spec"] == spec()


def test_cpu_needs_no_gpu_and_gets_no_device() -> None:
    server = desired_server(
        parse_server_settings({**SETTINGS, "device": "CPU"}), MANIFEST, Host(32 * GIB, None, HOST.network)
    )
    host = server.body(Path("/m"), Path("/c"))["HostConfig"]
    assert "Devices" not in host
    assert host["GroupAdd"] == []
    assert "CACHE_DIR" not in server.graph_text


@pytest.mark.parametrize(
    "gpu", [None, replace(GPU, pci_id="8086:7d60", supported=False), replace(GPU, driver=None)]
)
def test_gpu_is_demanded_where_the_graph_asks_for_it(gpu: Gpu | None) -> None:
    with pytest.raises(EdgeError, match="GPU"):
        desired_server(parse_server_settings(SETTINGS), MANIFEST, Host(32 * GIB, gpu, HOST.network))


def test_graph_joins_defaults_settings_and_host() -> None:
    settings = parse_server_settings(
        {**SETTINGS, "graph": {"max_num_seqs": 2, "plugin_config": {"KV_CACHE_PRECISION": "u8"}}}
    )
    options = read_graph(desired_server(settings, MANIFEST, HOST).graph_text, "2025.4.1").llm_options
    assert options["cache_size"] == 4
    assert options["max_num_seqs"] == 2
    assert options["device"] == "GPU"
    assert options["plugin_config"] == (
        '{"CACHE_DIR": "/cache", "KV_CACHE_PRECISION": "u8", "NUM_STREAMS": 1}'
    )  # fmt: skip


def graph_options(manifest: Manifest = MANIFEST, host: Host = HOST, **changes: Any) -> dict[str, Any]:
    server = desired_server(parse_server_settings({**SETTINGS, **changes}), manifest, host)
    return read_graph(server.graph_text, "2025.4.1").llm_options


@pytest.mark.parametrize(("device", "expected"), [("GPU", {"CACHE_DIR": "/cache"}), ("CPU", {})])
def test_a_cache_directory_of_the_release_is_for_another_container(
    device: str, expected: dict[str, str]
) -> None:
    manifest = replace(
        MANIFEST, graph={"max_num_seqs": 1, "plugin_config": {"CACHE_DIR": "/home/ovms/cache"}}
    )

    server = desired_server(parse_server_settings({**SETTINGS, "device": device}), manifest, HOST)

    found = read_graph(server.graph_text, "2025.4.1").llm_options.get("plugin_config", "{}")
    assert json.loads(found) == expected
    assert manifest.graph["plugin_config"] == {"CACHE_DIR": "/home/ovms/cache"}


UNDECIDED = replace(MANIFEST, graph={"plugin_config": '{"NUM_STREAMS": 1}'})


@pytest.mark.parametrize(
    ("manifest", "settings", "max_num_seqs"),
    [
        (MANIFEST, {}, 1),  # the release's
        (MANIFEST, {"graph": {"max_num_seqs": 2}}, 2),
        (UNDECIDED, {"graph": {"max_num_seqs": 256}}, 256),
        (UNDECIDED, {}, 11),  # 4 GiB at 35 KiB a token, 10 121 tokens a request
        (UNDECIDED, {"graph": {"plugin_config": {"KV_CACHE_PRECISION": "f16"}}}, 7),
        (UNDECIDED, {"cache_size": 1}, 2),
        (replace(UNDECIDED, memory=Memory(8 * GIB, 0)), {}, 1),  # a release that does not say
    ],
)
def test_concurrency_is_planned_where_nobody_set_it(
    manifest: Manifest, settings: dict[str, Any], max_num_seqs: int
) -> None:
    assert graph_options(manifest, **settings)["max_num_seqs"] == max_num_seqs


@pytest.mark.parametrize(("memory_gib", "tier"), [(31, "B"), (64, "A")])
def test_summary_says_whether_two_models_fit(memory_gib: int, tier: str) -> None:
    host = replace(HOST, memory_bytes=memory_gib * GIB)
    assert desired_server(parse_server_settings(SETTINGS), MANIFEST, host).summary["tier"] == tier


def test_a_cache_that_this_host_cannot_hold_is_refused() -> None:
    with pytest.raises(EdgeError, match=r"memory too small: weights 8\.8 \+ KV cache 32\.0"):
        graph_options(cache_size=32)


def test_a_release_for_another_ovms_is_refused() -> None:
    with pytest.raises(EdgeError, match=r"meant for OVMS 2025\.4\.1, ovms_version is 2026\.0"):
        desired_server(parse_server_settings({**SETTINGS, "ovms_version": "2026.0"}), MANIFEST, HOST)


@pytest.mark.parametrize(
    "change",
    [
        {"image": "other:1"},
        {"cache_size": 3},
        {"graph": {"max_num_seqs": 2}},
        {"log_level": "DEBUG"},
        {"servable": "other"},
        {"memory_limit_gib": 20},
        {"device": "CPU"},
    ],
)
def test_spec_changes_with_everything_that_enters_the_container(change: dict[str, Any]) -> None:
    assert spec(**change) != spec()


def test_spec_changes_with_release_and_render_group() -> None:
    assert spec(manifest=replace(MANIFEST, created="2026-01-02T00:00:00Z")) != spec()
    assert spec(host=replace(HOST, gpu=replace(GPU, render_gid=105))) != spec()
    assert spec(host=replace(HOST, network="other")) != spec()


def test_spec_stays_for_what_does_not_enter_the_container() -> None:
    assert (
        spec(start_timeout_seconds=5, answer_timeout_seconds=5, drain_timeout_seconds=5, tier="B") == spec()
    )
    assert spec(cache_size=4) == spec()
    kernel_took_more = replace(HOST, memory_bytes=HOST.memory_bytes - 20 * 1024**2)
    assert spec(host=kernel_took_more) == spec()
