"""A store that serves: what runs, how it is confined, and what it answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.testinfra.paths import FILES, Wanted, assert_owner_and_mode

pytestmark = pytest.mark.lab

# Used where --hosts names no others.
testinfra_hosts = ["ansible://stores?force_ansible=True&sudo=True"]

Evidence = dict[str, Any]


@pytest.mark.parametrize(("path", "wanted"), FILES["ovms_server"].items())
def test_file_has_its_owner_and_mode(evidence: Evidence, path: str, wanted: Wanted) -> None:
    assert_owner_and_mode(evidence, path, wanted)


@pytest.mark.parametrize(("path", "value"), [
    ("Config.User", "5000:5000"),
    ("HostConfig.Privileged", False),
    ("HostConfig.CapDrop", ["ALL"]),
    ("HostConfig.CapAdd", None),
    ("HostConfig.ReadonlyRootfs", True),
    ("HostConfig.SecurityOpt", ["no-new-privileges"]),
    ("HostConfig.RestartPolicy.Name", "always"),
    ("HostConfig.PidMode", ""),
    ("HostConfig.IpcMode", "private"),
    ("HostConfig.LogConfig.Type", "json-file"),
    ("State.Running", True),
])  # fmt: skip
def test_container_setting(evidence: Evidence, path: str, value: object) -> None:
    found = evidence["container"]
    for key in path.split("."):
        found = found[key]
    assert found == value, evidence["log"]


def test_container_is_ended_when_it_runs_out_of_memory(evidence: Evidence) -> None:
    # None where cgroup v2 is: Docker has no such switch there
    assert evidence["container"]["HostConfig"]["OomKillDisable"] in (False, None)


@pytest.mark.parametrize("key", ["max-size", "max-file"])
def test_container_log_is_limited(evidence: Evidence, key: str) -> None:
    assert evidence["container"]["HostConfig"]["LogConfig"]["Config"][key]


def test_container_processes_are_limited(evidence: Evidence) -> None:
    assert evidence["container"]["HostConfig"]["PidsLimit"] > 0


def test_container_memory_is_limited_below_the_hosts(evidence: Evidence) -> None:
    total = evidence["facts"]["memory"]["total_bytes"]
    assert 0 < evidence["container"]["HostConfig"]["Memory"] < total


def test_container_does_not_swap(evidence: Evidence) -> None:
    settings = evidence["container"]["HostConfig"]
    assert settings["MemorySwap"] == settings["Memory"]


def test_container_mounts_models_read_only_and_a_cache(evidence: Evidence) -> None:
    mounts = {mount["Destination"]: mount["RW"] for mount in evidence["container"]["Mounts"]}
    assert mounts == {"/models": False, "/cache": True}


def test_container_is_in_the_group_of_this_hosts_render_node(evidence: Evidence) -> None:
    gpu = evidence["active"]["settings"]["device"].startswith("GPU")
    wanted = [str(evidence["facts"]["gpu"]["render_gid"])] if gpu else None
    assert (evidence["container"]["HostConfig"]["GroupAdd"] or None) == wanted


def test_gpu_that_serves_is_driven_by_i915_and_its_firmware_runs(evidence: Evidence) -> None:
    if not evidence["active"]["settings"]["device"].startswith("GPU"):
        assert not evidence["container"]["HostConfig"]["Devices"]
        return
    assert evidence["facts"]["gpu"]["driver"] == "i915"
    assert evidence["facts"]["gpu_driver"]["guc"] in {"RUNNING", None}  # None: the host does not tell


def test_container_reaches_no_devices_but_the_gpus(evidence: Evidence) -> None:
    devices = [device["PathOnHost"] for device in evidence["container"]["HostConfig"]["Devices"] or []]
    assert [device for device in devices if not device.startswith("/dev/dri")] == []


def test_server_is_given_a_rest_port_and_no_grpc_port(evidence: Evidence) -> None:
    command = evidence["container"]["Config"]["Cmd"]
    assert "--rest_port" in command
    assert "--port" not in command


def test_server_is_found_at_the_address_of_its_slot_and_publishes_no_port(evidence: Evidence) -> None:
    gateway, container = evidence["gateway"], evidence["container"]
    assert not container["HostConfig"]["PortBindings"]
    (network,) = container["NetworkSettings"]["Networks"].items()
    address = gateway["slots"][evidence["active"]["slot"]]
    assert (network[0], network[1]["IPAddress"]) == (gateway["network"], address)


def test_only_one_server_is_there(evidence: Evidence) -> None:
    servers = [name for name in evidence["containers"] if name.startswith("ovms-vlm-")]
    assert servers == [f"ovms-vlm-{evidence['active']['slot']}"]


def test_gateway_sends_requests_to_what_is_active(evidence: Evidence) -> None:
    slot = evidence["active"]["slot"]
    assert evidence["route"] == slot
    assert evidence["gateway_health"] == {"status": 200, "body": f"{slot}\n"}


def test_node_tool_names_the_release_that_serves(evidence: Evidence) -> None:
    assert evidence["facts"]["active"]["release"] == evidence["active"]["release"]


def test_config_status_is_available(evidence: Evidence) -> None:
    assert evidence["config_status"]["status"] == 200, evidence["log"]
    servable = json.loads(evidence["config_status"]["body"])[evidence["active"]["servable"]]
    (version,) = servable["model_version_status"]
    assert (version["state"], version["status"]["error_code"]) == ("AVAILABLE", "OK")


def test_models_lists_the_servable(evidence: Evidence) -> None:
    listed = json.loads(evidence["models"]["body"])["data"]
    assert [model["id"] for model in listed] == [evidence["active"]["servable"]]


def test_chat_with_an_image_answers(evidence: Evidence) -> None:
    assert evidence["chat"]["status"] == 200, f"{evidence['chat']['body']}\n{evidence['log']}"
    answer = json.loads(evidence["chat"]["body"])
    assert answer["choices"][0]["finish_reason"] in {"stop", "length"}
    assert answer["usage"]["completion_tokens"] > 0


def test_streamed_chat_with_an_image_answers(evidence: Evidence) -> None:
    streamed = evidence["chat_streamed"]
    assert streamed["status"] == 200, f"{streamed['body']}\n{evidence['log']}"
    events = [
        line.removeprefix("data: ") for line in streamed["body"].splitlines() if line.startswith("data: ")
    ]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"] for event in events[:-1]]
    assert any(choices and choices[0]["delta"].get("content") for choices in deltas)


def test_applications_find_the_gateway_by_its_alias(evidence: Evidence) -> None:
    apps, alias = evidence["gateway"]["apps"], evidence["alias"]
    if apps is None:
        assert alias is None
        return
    assert alias["State"]["Running"]
    networks = alias["NetworkSettings"]["Networks"]
    assert list(networks) == [apps["network"]]
    assert apps["alias"] in networks[apps["network"]]["Aliases"]
    assert all(not mount["RW"] for mount in alias["Mounts"])


def test_servers_network_has_no_way_out(evidence: Evidence) -> None:
    assert evidence["network"]["Internal"]
