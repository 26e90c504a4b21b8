"""``ovms-edge ask`` on the running lab: a store's OVMS answers through its tunnel and at its address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.e2e import fault_store

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = ROOT / "inventory" / "lab"
STORE = "store-001"
SERVABLE = "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8"
QUESTION = ("--max-tokens", "8", "What is in the picture?")


def ask(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ovms_edge.cli", "ask", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def tunnels() -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.startswith("ssh -N -L")]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("images") / "red.png"
    Image.new("RGB", (56, 56), (208, 16, 16)).save(file)
    return str(file)


@pytest.fixture(scope="module")
def url() -> str:
    hosts = yaml.safe_load((INVENTORY / "hosts.yml").read_text())
    return f"http://{hosts['stores']['hosts'][STORE]['ansible_host']}:8002"


@pytest.fixture(scope="module")
def through_tunnel(image: str) -> dict[str, object]:
    done = ask("--store", STORE, "-i", str(INVENTORY), "--image", image, "--json", *QUESTION)
    assert done.returncode == 0, done.stderr
    document: dict[str, object] = json.loads(done.stdout)
    return document


def test_a_store_answers_through_its_tunnel(through_tunnel: dict[str, object]) -> None:
    assert through_tunnel["model"] == SERVABLE
    assert 1 <= int(str(through_tunnel["completion_tokens"])) <= 8
    assert (
        0 < float(str(through_tunnel["first_token_seconds"])) <= float(str(through_tunnel["total_seconds"]))
    )


def test_the_tunnel_ends_with_the_command(through_tunnel: dict[str, object]) -> None:
    assert tunnels() == []


def test_streamed_or_not_the_answer_is_the_same(
    through_tunnel: dict[str, object], url: str, image: str
) -> None:
    streamed = ask("--url", url, "--image", image, *QUESTION)
    whole = ask("--url", url, "--image", image, "--no-stream", *QUESTION)
    assert streamed.stdout == whole.stdout == f"{through_tunnel['content']}\n"
    assert streamed.stderr.startswith("first token ")
    assert whole.stderr.startswith("total ")


def test_the_prompt_comes_from_standard_input(url: str) -> None:
    piped = ask("--url", url, "--max-tokens", "4", "--no-stream", "-", stdin="What is 2 + 3?\n")
    given = ask("--url", url, "--max-tokens", "4", "--no-stream", "What is 2 + 3?")
    assert (piped.returncode, piped.stdout) == (0, given.stdout)


def test_a_model_that_is_not_there_is_said_with_those_that_are() -> None:
    done = ask("--store", STORE, "-i", str(INVENTORY), "--model", "Qwen/other", "What?")
    assert done.returncode == 1
    assert f"Qwen/other is not served there; {SERVABLE} is" in done.stderr


def test_a_store_that_is_off_is_named(tmp_path: Path) -> None:
    hosts = "stores: {hosts: {gone: {ansible_host: 127.0.0.1, ansible_port: 9, ansible_user: nobody}}}"
    (tmp_path / "hosts.yml").write_text(hosts)
    done = ask("--store", "gone", "-i", str(tmp_path), "What?")
    assert done.returncode == 1
    assert "no SSH tunnel to gone" in done.stderr
    assert "Connection refused" in done.stderr
    assert tunnels() == []


def test_a_store_whose_host_key_is_not_pinned_is_not_asked(tmp_path: Path) -> None:
    address = yaml.safe_load((INVENTORY / "hosts.yml").read_text())["stores"]["hosts"][STORE]["ansible_host"]
    none_known = (
        "-o StrictHostKeyChecking=yes -o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null"
    )
    entry = {"ansible_host": address, "ansible_user": "ansible", "ansible_ssh_common_args": none_known}
    (tmp_path / "hosts.yml").write_text(json.dumps({"stores": {"hosts": {STORE: entry}}}))
    done = ask("--store", STORE, "-i", str(tmp_path), "What?")
    assert done.returncode == 1
    assert "Host key verification failed" in done.stderr


def test_a_store_that_serves_nothing_there_is_told_from_one_that_is_off() -> None:
    fault_store.lab("exec", STORE, "systemctl", "stop", "ovms-edge-gateway")
    try:
        done = ask("--store", STORE, "-i", str(INVENTORY), "What?")
    finally:
        fault_store.lab("exec", STORE, "systemctl", "start", "ovms-edge-gateway")
    assert done.returncode == 1
    assert f"{STORE} is there, and its gateway gave no answer" in done.stderr
