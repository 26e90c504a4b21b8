"""The zipapp, built and run as a node runs it: with no package installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "tools/build_node_tool.py"


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tool") / "ovms-node"
    subprocess.run([sys.executable, str(BUILD), str(path)], check=True)
    return path


def run(tool: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    # -I -S: no environment, no site-packages
    command = [sys.executable, "-I", "-S", str(tool), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def test_the_same_sources_give_the_same_bytes(tool: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    time.sleep(0.01)  # another time stamp, which must not matter
    subprocess.run(
        [sys.executable, str(BUILD), str(again)], check=True, env={**os.environ, "TZ": "Asia/Tokyo"}
    )
    assert again.read_bytes() == tool.read_bytes()
    assert tool.stat().st_mode & 0o777 == 0o755
    assert tool.read_bytes().startswith(b"#!/usr/bin/env python3\n")


def test_facts_work_with_nothing_installed(tool: Path, tmp_path: Path) -> None:
    result = run(
        tool, "facts", "--json", "--state-dir", str(tmp_path / "none"), "--sysfs-root", str(tmp_path),
        "--node-config", str(tmp_path / "node.json"),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["ok"]
    assert facts["memory"]["total_bytes"] > facts["memory"]["available_bytes"] > 0
    assert facts["disk"]["free_bytes"] > 0
    assert (facts["gpu"], facts["active"], facts["previous"], facts["server"]) == (None, None, None, None)
    assert facts["releases"] == []
    assert not (tmp_path / "none").exists()


def test_a_refusal_is_one_document_one_line_and_status_1(tool: Path, tmp_path: Path) -> None:
    result = run(tool, "stage", "vlm@1", "--json", "--node-config", str(tmp_path / "node.json"))
    assert result.returncode == 1
    document = json.loads(result.stdout)
    assert document["ok"] is False
    assert result.stderr == f"ovms-node: {document['reason']}; {document['remedy']}\n"


def node_json(tmp_path: Path) -> str:
    path = tmp_path / "node.json"
    depot = {"url": "http://127.0.0.1:9"}
    path.write_text(json.dumps({"schema": 1, "state_dir": str(tmp_path / "state"), "depot": depot}))
    return str(path)


@pytest.mark.parametrize(
    "settings", ['{"imag": "x"}', '{"image": "x", "graph": {"block_size": 1}}', "{", "[]"]
)
def test_wrong_settings_are_status_2_and_touch_nothing(tool: Path, tmp_path: Path, settings: str) -> None:
    command = ("activate", "vlm@1", "--server", "-", "--json", "--node-config", node_json(tmp_path))
    result = run(tool, *command, stdin=settings)
    assert result.returncode == 2, result.stderr
    assert json.loads(result.stdout)["remedy"]
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("command", ["verify", "rollback"])
def test_with_nothing_active_there_is_nothing_to_verify_or_roll_back(
    tool: Path, tmp_path: Path, command: str
) -> None:
    result = run(tool, command, "--json", "--node-config", node_json(tmp_path))
    assert result.returncode == 1
    assert "nothing" in json.loads(result.stdout)["reason"]


def test_a_wrong_command_is_status_2(tool: Path) -> None:
    assert run(tool, "launch").returncode == 2
