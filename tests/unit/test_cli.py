from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ovms_edge import __version__
from ovms_edge.cli import build_parser, main
from tests.unit.release_model import write_model


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"ovms-edge {__version__}\n"


@pytest.mark.parametrize("command", [[], ["release"], ["release", "nothing"], ["release", "build"]])
def test_incomplete_call_is_a_usage_error(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert "usage: ovms-edge" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        [],
        *(["release", name] for name in ("build", "sign", "publish", "inspect")),
        *(["config", name] for name in ("check", "merge")),
        ["ask"],
    ],
)
def test_examples_in_the_help_are_calls_that_parse(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    examples = [
        shlex.split(line)[1:]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("  ovms-edge")
    ]
    assert examples
    for example in examples:
        assert callable(build_parser().parse_args(example).run)


def test_release_is_built_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path / "model")
    build = [
        "release",
        "build",
        "--model",
        str(model),
        "--release",
        "vlm@1",
        "--output",
        str(tmp_path / "out"),
    ]
    assert main([*build, "--verbose"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("vlm@1 built: ")
    assert "leave out graph.pbtxt: OVMS: rendered on each node" in captured.err
    assert main(build) == 0
    assert capsys.readouterr().out.startswith("vlm@1 already built, same content: ")
    assert main(["release", "inspect", str(tmp_path / "out/vlm/1")]) == 0
    assert "Qwen/Qwen2.5-VL-7B-Instruct" in capsys.readouterr().out


def test_refusal_names_the_remedy_and_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["release", "build", "--model", str(tmp_path / "none"), "--release", "vlm@1"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("ovms-edge: no model directory")
    assert "\n  remedy: " in said


def test_name_without_a_depot_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", "inspect", "vlm@1"]) == 2
    assert "--depot" in capsys.readouterr().err


def test_publishing_needs_no_parser_of_graphs() -> None:
    """Start and memory of the commands that run on small machines stay small."""
    program = "import sys, ovms_edge.cli, ovms_edge.release.publish; print('google.protobuf' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={"PYTHONPATH": "src"}
    )
    assert done.stdout == "False\n"
