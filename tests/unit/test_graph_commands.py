"""``ovms-edge graph render | explain`` as they are called."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ovms_edge.cli import main
from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.graph.reader import read_graph
from ovms_edge.graph.render_command import parse_assignments
from ovms_edge.ovms.graph import check_options, render_graph

VERSION = "2025.4.1"
DOCUMENT = Path(__file__).parents[2] / "docs" / "graph.md"
BASE = ["device=GPU", "cache_size=4"]


@pytest.mark.parametrize(
    ("assignments", "options"),
    [
        (["cache_size=4"], {"cache_size": 4}),
        (["enable_prefix_caching=True"], {"enable_prefix_caching": True}),
        (["pipeline_type=VLM_CB"], {"pipeline_type": "VLM_CB"}),
        (["tool_parser=1"], {"tool_parser": "1"}),
        (["plugin_config.CACHE_DIR=/c=d"], {"plugin_config": {"CACHE_DIR": "/c=d"}}),
        (["plugin_config.A=1", "plugin_config.B=true"], {"plugin_config": {"A": 1, "B": True}}),
        (['plugin_config={"A": 1}', "plugin_config.B=2"], {"plugin_config": {"A": 1, "B": 2}}),
        (["cache_eviction_config.start_size=32"], {"cache_eviction_config": {"start_size": 32}}),
        (
            ["cache_eviction_config.kv_crush_config.budget=2"],
            {"cache_eviction_config": {"kv_crush_config": {"budget": 2}}},
        ),
        (
            ["sparse_attention_config.xattention_threshold=0.8"],
            {"sparse_attention_config": {"xattention_threshold": 0.8}},
        ),
    ],
)
def test_values_get_the_type_of_their_field(assignments: list[str], options: dict[str, object]) -> None:
    assert parse_assignments(assignments, VERSION) == options


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("cache_size=many", "a whole number"),
        ("cache_size=-1", "a whole number"),
        ("enable_prefix_caching=1", "true or false"),
        ("pipeline_type=VLMS", "one of LM, VLM"),
        ("block_size=32", "remove it: only OVMS 2024.4, 2024.5"),
        ("cache_sise=4", "did you mean cache_size?"),
        ("device.x=4", "device.x is unknown"),
        ("plugin_config=[1]", "write it as an object"),
        ("cache_eviction_config.start_size=1", "recent_size is missing"),
        ("cache_eviction_config.start=1", "did you mean start_size?"),
        ("models_path=/models", "always ./"),
    ],
)
def test_what_the_version_does_not_take_is_refused(assignment: str, said: str) -> None:
    with pytest.raises(EdgeError) as caught:
        check_options(parse_assignments([assignment], VERSION), VERSION)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "assignments",
    [
        ["cache_size"],
        ["=4"],
        ["plugin_config=text", "plugin_config.A=1"],
        ["device=GPU", ""],
        ["cache_size=4", "cache_size=4"],
        ["plugin_config.A=1", "plugin_config.A=2"],
        ["device=\udce9"],
        ['plugin_config={"A": 1}', "plugin_config.A=1"],
        ["cache_sise=4", "cache_sise=4"],
    ],
)
def test_what_is_no_assignment_is_a_usage_error(assignments: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_assignments(assignments, VERSION)


def test_render_prints_the_graph(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "render", "--set", *BASE, "--set", "max_num_seqs=1"]) == 0
    assert capsys.readouterr().out == render_graph(
        {"device": "GPU", "cache_size": 4, "max_num_seqs": 1}, VERSION
    )


def test_render_writes_the_file_whole(tmp_path: Path) -> None:
    file = tmp_path / "graph.pbtxt"
    file.write_text("old")
    assert main(["graph", "render", "--set", *BASE, "--output", str(file)]) == 0
    assert read_graph(file.read_text(), VERSION).llm_options["cache_size"] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["graph.pbtxt"]


def test_render_leaves_the_file_where_the_options_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "graph.pbtxt"
    file.write_text("old")
    assert main(["graph", "render", "--set", *BASE, "block_size=3", "--output", str(file)]) == 1
    assert file.read_text() == "old"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["render", "--set", "device=GPU"], 1, "cache_size is not set"),
        (["render", "--set", "cache_size=4"], 1, "device is not set"),
        (["render", "--set", "cache_size"], 2, "no FIELD=VALUE"),
        (["render", "--set", *BASE, "--ovms-version", "1.0"], 1, "not in the field matrix"),
        (["render", "--set", *BASE, "--output", "/no/such/directory/graph.pbtxt"], 1, "cannot write"),
        (["explain", "/no/such/file"], 1, "cannot read"),
        (["explain", "/no/such/file", "--gpu-gib", "8"], 2, "belong together"),
        (["explain", "/no/such/file", "--discrete", "--gpu-gib", "8"], 2, "give --host-gib"),
    ],
)
def test_what_goes_wrong_is_said_with_a_remedy(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["graph", *arguments]) == status
    error = capsys.readouterr().err
    assert said in error
    assert "remedy:" in error


def test_render_says_the_fix_of_what_ovms_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "render", "--set", "device=gpu", "cache_size=4"]) == 1
    error = capsys.readouterr().err
    assert "remedy: write device: GPU" in error


def test_render_prints_nothing_where_it_cannot_write(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "render", "--set", *BASE, "--output", "/no/such/directory/graph.pbtxt"]) == 1
    assert capsys.readouterr().err.startswith("ovms-edge: cannot write")


def test_explain_takes_the_directory_of_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "graph.pbtxt").write_text(render_graph({"device": "GPU", "cache_size": 4}, VERSION))
    (tmp_path / "openvino_language_model.xml").write_text("<?xml ?>")
    (tmp_path / "openvino_language_model.bin").write_bytes(b"0" * 1024)
    shape = {"num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
    (tmp_path / "config.json").write_text(json.dumps({**shape, "hidden_size": 3584}))
    assert main(["graph", "explain", str(tmp_path), "--host-gib", "31", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["option"]: row for row in found["rows"]}
    assert found["pipeline"] == "LM_CB"
    assert "119837 tokens" in rows["cache_size"]["meaning"]
    assert rows["cache_size"]["line"] == 19
    assert found["plan"]["cache_size_gib"] == 4


@pytest.mark.parametrize("gib", ["0", "nan", "inf", "1e30"])
def test_explain_refuses_memory_that_no_machine_has(gib: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["graph", "explain", "/no/such/file", "--host-gib", gib])
    assert stop.value.code == 2
    assert "is not a number of GiB" in capsys.readouterr().err


def test_explain_of_a_host_says_that_the_model_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "graph.pbtxt"
    file.write_text(render_graph({"device": "GPU", "cache_size": 4}, VERSION))
    assert main(["graph", "explain", str(file), "--host-gib", "31"]) == 0
    assert "name it with --model DIR" in capsys.readouterr().out


def test_explain_refuses_what_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "graph.pbtxt").write_bytes(b"\xff\xfe")
    assert main(["graph", "explain", str(tmp_path)]) == 1
    assert "graph.pbtxt:1:1: no UTF-8 text: byte 0 is 0xff" in capsys.readouterr().err


def documented() -> list[tuple[str, str]]:
    """The commands in docs/graph.md and what it says that they print, in order."""
    blocks = re.findall(r"```console\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return [
        (command, printed)
        for block in blocks
        for command, _, printed in (part.partition("\n") for part in block.split("$ ")[1:])
    ]


def test_the_document_shows_what_the_commands_print(tmp_path: Path) -> None:
    commands = documented()
    assert len(commands) > 5
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command, printed in commands:
        if command.startswith("cat "):
            (tmp_path / command.removeprefix("cat ")).write_text(printed)
        done = subprocess.run(
            shlex.split(command),
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout + done.stderr == printed
