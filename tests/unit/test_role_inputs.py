"""What the roles refuse of their inputs; role ``ovms_gateway``'s are in test_gateway_role.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils._input_checks import CHECKS
from ansible_collections.ovms.edge.plugins.plugin_utils._role_inputs import (
    ROLES,
    BadInputsError,
    inputs_of,
    problems_of,
    spec_of,
)
from tests.unit.test_openpgp import FINGERPRINT, KEY

ROOT = Path(__file__).resolve().parents[2]
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"
DIGEST = "depot.example/ovms@sha256:" + "0" * 64
REQUIRED: dict[str, dict[str, Any]] = {
    "node_agent": {"depot_url": "https://depot.example", "allowed_signers": ["a@example ssh-ed25519 AAAA"]},
    "model_release": {"ref": "qwen@1.0"},
    "ovms_server": {"release": "qwen@1.0", "image": "depot.example:5000/ovms:2025.4.1-gpu"},
    "site_cache": {"origin": "https://depot.example"},
}
WINDOW = {"from": "22:00", "to": "06:00", "rate": "50Mbit"}


def mirrors(**mirror: str) -> dict[str, Any]:
    return {"depot_mirrors": [mirror]}


def registries(**registry: str) -> dict[str, Any]:
    return {"registries": [registry]}


def repository(**option: str) -> dict[str, Any]:
    sound = {"url": "https://a/b", "suites": ["jammy"], "components": ["unified"]}
    return {"runtime_repository": {**sound, "key": KEY, "fingerprint": FINGERPRINT, **option}}


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("host_baseline", {"min_memory_gib": 0}, "min_memory_gib is 0; set it to a whole number of GiB"),
    ("host_baseline", {"min_disk_gib": "a lot"}, "min_disk_gib is a lot; set it to a whole number of GiB"),
    ("host_baseline", {"require_time_sync": "perhaps"}, "host_baseline_require_time_sync"),
    ("intel_gpu", {"sysfs_root": "sys"}, "intel_gpu_sysfs_root is sys; set it to an absolute path"),
    (
        "intel_gpu",
        {"manage_driver": "yes"},
        "intel_gpu_manage_driver must be one of: never, when_needed, always",
    ),
    ("intel_gpu", {"ubuntu_kernel": "oem"}, "value of intel_gpu_ubuntu_kernel must be one of: ga, hwe"),
    ("intel_gpu", {"reboot": True}, "value of intel_gpu_reboot must be one of: never, when_needed"),
    ("intel_gpu", {"reboot_timeout_seconds": 0}, "reboot_timeout_seconds is no whole number; set it to 1"),
    ("intel_gpu", {"mirror": "depot/debian"}, "intel_gpu_mirror is depot/debian; write http://HOST/PATH"),
    ("intel_gpu", {"mirror": "http://a:b@depot"}, "intel_gpu_mirror is http://a:b@depot; write http://HOST"),
    ("intel_gpu", {"heartbeat_interval_ms": 0}, "heartbeat_interval_ms is 0; set it to 1 to 100000"),
    ("intel_gpu", {"preempt_timeout_ms": 100_001}, "preempt_timeout_ms is 100001; set it to 1 to 100000"),
    (
        "intel_gpu",
        {"heartbeat_interval_ms": 9999, "preempt_timeout_ms": 5000},
        "(5000); set it to 10000 or more",
    ),
    ("intel_gpu", repository(url="repo"), "repository has the url repo; write https://HOST/PATH"),
    (
        "intel_gpu",
        repository(key="x"),
        "the key of intel_gpu_runtime_repository is no ASCII-armored OpenPGP key",
    ),
    ("intel_gpu", repository(fingerprint="00"), f"has the fingerprint {FINGERPRINT}, not 00; see whose key"),
    ("intel_gpu", repository(suite="x"), "intel_gpu_runtime_repository has the option suite, which is none"),
    ("docker_engine", {"log_max_size": "10M"}, "log_max_size is 10M; write a number and k, m or g"),
    ("docker_engine", {"log_max_file": 0}, "log_max_file is 0; set it to 1 or more"),
    ("docker_engine", registries(address="https://depot"), "has the address https://depot; write HOST or"),
    ("docker_engine", registries(address="depot", ca="x"), "the ca of registry depot is no PEM certificate"),
    ("docker_engine", registries(address="depot", username="a"), "registry depot has a username and no"),
    ("docker_engine", registries(ca=CERTIFICATE), "missing required arguments: address"),
    ("docker_engine", {"registries": {"address": "depot"}}, "docker_engine_registries"),
    ("node_agent", {"depot_url": "depot"}, "node_agent_depot_url is depot; write https://HOST"),
    ("node_agent", {"depot_ca": "x"}, "node_agent_depot_ca is no PEM certificate; give"),
    ("node_agent", {"allowed_signers": []}, "node_agent_allowed_signers is empty, so no release"),
    ("node_agent", {"allowed_signers": ["a@example"]}, "allowed_signers has the line `a@example`; write"),
    ("node_agent", {"revoked_signers": ["a ssh-rsa A"]}, "revoked_signers has the line `a ssh-rsa A`; write"),
    ("node_agent", mirrors(url="http://a/b"), "node_agent_depot_mirrors has the url http://a/b; write"),
    ("node_agent", mirrors(url="http://a", ca="x"), "the ca of mirror http://a is no PEM certificate"),
    ("node_agent", {"transfer_rate": "50"}, "_schedule has the rate 50; write a number and kbit"),
    ("node_agent", {"transfer_schedule": [{**WINDOW, "rate": "fast"}]}, "_schedule has the rate fast; write"),
    ("node_agent", {"transfer_schedule": [{**WINDOW, "from": 1320}]}, "node_agent_transfer_schedule has the"),
    ("node_agent", {"transfer_schedule": [{**WINDOW, "days": "all"}]}, "'days': 'all'"),
    ("node_agent", {"transfer_connections": 0}, "transfer_connections is no whole number; set it to 1"),
    ("node_agent", {"transfer_give_up_seconds": "x"}, "give_up_seconds is no whole number; set it to 1"),
    ("node_agent", {"releases_kept": "-1"}, "node_agent_releases_kept is no whole number; set it to 1"),
    ("node_agent", {"state_dir": "/"}, "node_agent_state_dir is /; set it to an absolute path"),
    ("node_agent", {"textfile_directory": "a"}, "node_agent_textfile_directory is a; set it to an absolute"),
    ("model_release", {"ref": "qwen"}, "model_release_ref is qwen; write name@version"),
    ("model_release", {"image": "ovms:1"}, "model_release_image is ovms:1; write REPOSITORY@sha256:"),
    ("model_release", {"bundle": "b"}, "model_release_bundle is b; write the absolute path"),
    ("model_release", {"detached": "maybe"}, "model_release_detached is maybe; write true or false"),
    ("ovms_server", {"release": "Qwen@1"}, "ovms_server_release is Qwen@1; write name@version"),
    ("ovms_server", {"image": "ovms"}, "ovms_server_image is ovms; name it with its tag"),
    ("ovms_server", {"image": "ovms@sha256:0"}, "ovms_server_image is ovms@sha256:0; name it with its tag"),
    ("ovms_server", {"servable": "my model"}, "ovms_server_servable is `my model`; set it to the name"),
    ("ovms_server", {"device": "NPU"}, "ovms_server_device is NPU; set it to GPU, GPU.n or CPU"),
    ("ovms_server", {"tier": "C"}, "ovms_server_tier is C; set it to A (two models at a time)"),
    ("ovms_server", {"cache_size": "4GB"}, "ovms_server_cache_size is 4GB; set it to whole GiB such as 4"),
    ("ovms_server", {"memory_limit_gib": 4.5}, "ovms_server_memory_limit_gib is 4.5; set it to whole GiB"),
    (
        "ovms_server",
        {"start_timeout_seconds": True},
        "start_timeout_seconds is True; set it to whole seconds",
    ),
    ("ovms_server", {"graph": {"cache_siz": 1}}, "ovms_server_graph has the option cache_siz, which is none"),
    ("ovms_server", {"graph": {"pipeline_type": "X"}}, "value of pipeline_type must be one of: LM, VLM"),
    ("site_cache", {"origin": "depot"}, "site_cache_origin is depot; write https://HOST"),
    (
        "site_cache",
        {"origin": "https://192.0.2.1"},
        "nginx finds no address in a certificate; write",
    ),
    ("site_cache", {"listen": "a b"}, "site_cache_listen is a b; write PORT or ADDRESS:PORT"),
    ("site_cache", {"origin_ca": "x"}, "site_cache_origin_ca is no PEM certificate; give the text"),
    ("site_cache", {"origin_user": "a"}, "only one of site_cache_origin_user and site_cache_origin_password"),
    (
        "site_cache",
        {"origin": "http://depot.example", "origin_user": "a", "origin_password": "b"},
        "where the password would travel in the clear; use https://",
    ),
    ("site_cache", {"directory": "cache"}, "site_cache_directory is cache; write an absolute path"),
    ("site_cache", {"max_size": "20"}, "site_cache_max_size is 20; write a number and k, m or g"),
    ("site_cache", {"certificate": CERTIFICATE}, "only one of site_cache_certificate and site_cache_key"),
    ("site_cache", {"certificate": "x", "key": "y"}, "site_cache_certificate is no PEM certificate"),
]
TAKEN: list[tuple[str, dict[str, Any]]] = [
    *((role, {}) for role in CHECKS),
    ("host_baseline", {"min_memory_gib": "8"}),
    ("docker_engine", registries(address="depot:5000", ca=CERTIFICATE, username="a", password="b")),
    ("docker_engine", registries(address="depot", ca="")),
    ("node_agent", mirrors(url="http://a:5000", ca=CERTIFICATE)),
    ("node_agent", {"transfer_schedule": [WINDOW, {**WINDOW, "days": "mon-fri, sun", "rate": "0"}]}),
    ("node_agent", {"transfer_rate": "1.5 Gbit", "textfile_directory": None, "releases_kept": "3"}),
    ("node_agent", {"allowed_signers": "a@example ssh-ed25519 AAAA"}),
    ("model_release", {"image": DIGEST, "bundle": "/media/b", "detached": "yes"}),
    ("model_release", {"image": ""}),
    ("ovms_server", {"image": DIGEST, "device": "GPU.1", "tier": "A", "cache_size": "4"}),
    ("ovms_server", {"graph": {"max_num_seqs": 4, "plugin_config": {"A": 1}}, "memory_limit_gib": None}),
    ("site_cache", {"listen": 5000, "certificate": CERTIFICATE, "key": "y"}),
]


def named(role: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {f"{role}_{key}": value for key, value in {**REQUIRED.get(role, {}), **inputs}.items()}


@pytest.mark.parametrize(("role", "inputs", "said"), REFUSED)
def test_what_cannot_work_is_refused_with_the_fix(role: str, inputs: dict[str, Any], said: str) -> None:
    lines = problems_of(role, spec_of(role), named(role, inputs))
    assert said in "\n".join(lines)
    assert all("; " in line for line in lines)


@pytest.mark.parametrize(("role", "inputs"), TAKEN)
def test_what_works_is_taken_and_left_as_it_was(role: str, inputs: dict[str, Any]) -> None:
    given = named(role, inputs)
    before = deepcopy(given)
    assert problems_of(role, spec_of(role), given) == []
    assert given == before


def test_each_role_has_a_check_of_its_own() -> None:
    assert sorted(CHECKS) == sorted(path.name for path in ROLES.iterdir())


def test_all_that_is_wrong_is_said_at_once() -> None:
    given = {"node_agent_state_dir": "x", "node_agent_depott": 1, "node_agent_allowed_signers": ["ssh-rsa A"]}
    lines = problems_of("node_agent", spec_of("node_agent"), given)
    assert [line.split()[0] for line in lines] == ["node_agent_depott", "node_agent_depot_url"]
    given["node_agent_depot_url"] = "https://depot.example"
    lines = problems_of("node_agent", spec_of("node_agent"), given)
    assert [line.split()[0] for line in lines] == ["node_agent_depott", "node_agent_state_dir"]


def test_inputs_have_their_types_and_defaults_and_are_read_of_the_one_role() -> None:
    known = {"host_baseline_min_disk_gib": "20", "host": 1, "docker_engine_log_max_file": 0}
    inputs = inputs_of("host_baseline", known, lambda value: value)
    assert (inputs["host_baseline_min_disk_gib"], inputs["host_baseline_require_time_sync"]) == (20, True)
    with pytest.raises(BadInputsError, match="log_max_file is 0"):
        inputs_of("docker_engine", known, lambda value: value)


PLAY = """---
# Two roles, and an inventory's templates.
- name: Check
  hosts: all
  gather_facts: false
  connection: local
  tasks:
    - name: Check
      ovms.edge.role_inputs:
        roles: [docker_engine, ovms_server]
"""


def test_a_play_refuses_what_an_inventory_s_templates_give_for_all_roles_at_once(tmp_path: Path) -> None:
    registry = {"address": "{{ where }}", "username": "{{ 'a' }}", "password": "{{ 'very-secret' }}"}
    good = {"ovms_server_release": "qwen@{{ 1 }}", "ovms_server_image": "ovms:1", "where": "depot:5000"}
    good["docker_engine_registries"] = [registry]
    bad = {**good, "where": "https://depot", "ovms_server_tier": "{{ 'C' }}"}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": {"good": good, "bad": bad}}}))
    (tmp_path / "play.yml").write_text(PLAY)
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            tmp_path / "hosts.json",
            tmp_path / "play.yml",
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
        capture_output=True,
        text=True,
        check=False,
    )
    (task,) = json.loads(done.stdout)["plays"][0]["tasks"]
    assert "failed" not in task["hosts"]["good"], done.stdout
    assert task["hosts"]["bad"]["msg"].splitlines() == [
        "docker_engine_registries has the address https://depot; write HOST or HOST:PORT, with no https://",
        "ovms_server_tier is C; set it to A (two models at a time), B (one), or auto",
    ]
    assert "very-secret" not in done.stdout + done.stderr
