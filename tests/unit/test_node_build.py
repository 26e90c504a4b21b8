"""The zipapp, built and run as a node runs it: with no package installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from ovms_edge.node.unpack import unpack
from tools.build_node_tool import archive

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


@dataclass(frozen=True)
class Installed:
    path: Path
    unpacked: Path

    def run(self) -> subprocess.CompletedProcess[str]:
        return run(self.path, "--help")


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    """The tool where it keeps itself unpacked, which it does for root alone."""
    path, unpacked = tmp_path / "ovms-node", tmp_path / "run/code"
    path.write_bytes(archive(BUILD.parents[1] / "src", str(path), str(unpacked)))
    return Installed(path, unpacked)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's calls are unpacked")
def test_an_installed_tool_is_unpacked_once_and_then_runs_compiled(installed: Installed) -> None:
    first = installed.run()
    assert (first.returncode, first.stderr) == (0, "")
    (directory,) = installed.unpacked.iterdir()
    assert not list(directory.rglob("*.pyc")), "the first call still ran from the archive"
    second = installed.run()
    assert second.stdout == first.stdout
    assert list(installed.unpacked.iterdir()) == [directory]
    assert list(directory.rglob("cli.*.pyc"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's calls are unpacked")
def test_a_tool_of_other_sources_is_unpacked_beside(installed: Installed, tmp_path: Path) -> None:
    installed.run()
    shutil.copytree(BUILD.parents[1] / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "src/ovms_edge/errors.py").open("a").write("# later\n")
    installed.path.write_bytes(archive(tmp_path / "src", str(installed.path), str(installed.unpacked)))
    assert installed.run().returncode == 0
    assert len(list(installed.unpacked.iterdir())) == 2


def test_where_it_cannot_be_unpacked_the_archive_runs(installed: Installed) -> None:
    installed.unpacked.parent.write_text("no directory")
    assert installed.run().returncode == 0


def test_what_was_being_unpacked_by_another_call_is_left_alone(installed: Installed, tmp_path: Path) -> None:
    target = tmp_path / "run/code/abc"
    (target / "theirs").mkdir(parents=True)
    unpack(installed.path, target)
    assert [path.name for path in target.parent.iterdir()] == ["abc"]
    assert [path.name for path in target.iterdir()] == ["theirs"]


def test_a_copy_that_runs_from_elsewhere_leaves_nothing_behind(installed: Installed, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pyz"
    shutil.copy(installed.path, copy)
    assert run(copy, "--help").returncode == 0
    assert not installed.unpacked.exists()


def test_a_wrong_command_is_status_2(tool: Path) -> None:
    assert run(tool, "launch").returncode == 2
