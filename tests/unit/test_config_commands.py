from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovms_edge.cli import main


def write(directory: Path, text: str) -> str:
    file = directory / "config.json"
    file.write_text(text)
    return str(file)


def test_an_accepted_file_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, '{"model_config_list": []}')
    assert main(["config", "check", file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{file}:1:23: warning: nothing_served: ")
    assert lines[1].startswith("  fix: ")
    assert lines[-1] == f"{file}: OVMS 2025.4.1 accepts it"


def test_a_refused_file_ends_with_1_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, '{\n  "model_config_list": [],\n}')
    assert main(["config", "check", file]) == 1
    assert capsys.readouterr().out.startswith(f"{file}:3:1: error: JSON_INVALID: ")


def test_json_holds_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, '{"model_config_list": [], "x": 1}')
    assert main(["config", "check", file, "--json", "--ovms-version", "2026.3"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["ovms_version"]) == (False, "2026.3")
    assert [(found["code"], found["line"], found["column"]) for found in document["findings"]] == [
        ("JSON_INVALID", 1, 27)
    ]


def test_graphs_may_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "vlm").mkdir()
    (tmp_path / "vlm" / "graph.pbtxt").write_text("no graph")
    file = write(tmp_path, '{"model_config_list": [{"config": {"name": "vlm"}}]}')
    assert main(["config", "check", file]) == 1
    assert "vlm/graph.pbtxt:1:" in capsys.readouterr().out
    assert main(["config", "check", file, "--no-graphs"]) == 0


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "CONFIG_FILE_INVALID"), (b"{\xff}", "not UTF-8 at byte 1")]
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, reason: str
) -> None:
    file = tmp_path / "config.json"
    if content is not None:
        file.write_bytes(content)
    assert main(["config", "check", str(file)]) == 1
    assert reason in capsys.readouterr().err


def test_the_servers_command_line_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, '{"model_config_list": [], "monitoring": {"metrics": {"enable": true}}}')
    assert main(["config", "check", file, "--rest-port", "0"]) == 1
    assert "METRICS_REST_PORT_MISSING" in capsys.readouterr().out
    assert main(["config", "check", file, "--rest-port", "8000"]) == 0
