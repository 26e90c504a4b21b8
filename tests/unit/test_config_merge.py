from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.cli import main
from ovms_edge.config_file.merge import merge_servable
from ovms_edge.errors import EdgeError

VERSION = "2025.4.1"
OTHERS: dict[str, Any] = {
    "monitoring": {"metrics": {"metrics_list": ["ovms_responses"], "enable": True}},
    "model_config_list": [{"config": {"nireq": 4, "name": "resnet", "base_path": "/models/resnet"}}],
    "mediapipe_config_list": [{"name": "older", "base_path": "older"}],
    "custom_node_library_config_list": [{"name": "ü", "base_path": "/l.so"}],
}


def merge(file: Path, name: str = "vlm", base_path: str = "vlm") -> bool:
    return merge_servable(file, name, base_path, VERSION, dry_run=False).changed


def test_all_else_stays_as_it_was_order_and_layout_too(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(OTHERS, indent=3, ensure_ascii=False) + "\n")
    before = file.read_text().splitlines()
    assert merge(file)
    after = json.loads(file.read_text())
    assert after["model_config_list"].pop() == {"config": {"name": "vlm", "base_path": "vlm"}}
    assert json.dumps(after) == json.dumps(OTHERS)
    changed = [line for line in before if line not in file.read_text().splitlines()]
    assert changed == []


def test_a_second_merge_leaves_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    assert merge(file)
    before = file.stat().st_ino, file.read_bytes()
    assert not merge(file)
    assert (file.stat().st_ino, file.read_bytes()) == before


def test_another_base_path_replaces_the_first(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    merge(file)
    assert merge(file, base_path="/models/vlm")
    (entry,) = json.loads(file.read_text())["model_config_list"]
    assert entry == {"config": {"name": "vlm", "base_path": "/models/vlm"}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "JSON"),
        ("{}", "model_config_list"),
        ('{"model_config_list": [], "_comment": ""}', "_comment"),
        ('{"model_config_list": [], "model_config_list": []}', "twice"),
        ('{"model_config_list": [], "mediapipe_config_list": [{"name": "vlm"}]}', "mediapipe_config_list"),
        (
            '{"model_config_list": [], "monitoring": {"metrics": {"enable": true, "metrics_list": ["x"]}}}',
            "not supported: x",
        ),
    ],
)
def test_what_ovms_would_refuse_is_refused_and_left_alone(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(EdgeError, match=reason):
        merge(file)
    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ['a"b', "a\\b", ""])
def test_a_name_that_breaks_the_status_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgeError, match="servable name"):
        merge(tmp_path / "config.json", name=name)
    assert not (tmp_path / "config.json").exists()


def test_merges_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    names = [f"vlm-{number}" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda name: merge(file, name, name), names))
    entries = json.loads(file.read_text())["model_config_list"]
    assert sorted(entry["config"]["name"] for entry in entries) == sorted(names)


def test_a_dry_run_prints_the_change_and_makes_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    merge(file, "first", "first")
    before = file.read_bytes()
    assert main(["config", "merge", str(file), "--name", "vlm", "--base-path", "/v", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"--- {file}", f"+++ {file}"]
    assert '+                "name": "vlm",' in lines
    assert file.read_bytes() == before


LOOP = """
import sys
from pathlib import Path
from ovms_edge.config_file.merge import merge_servable
print(flush=True)
for number in range(10**6):
    merge_servable(Path(sys.argv[1]), "vlm", f"/models/{number}", "2025.4.1", dry_run=False)
"""


def test_a_merge_that_is_killed_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    for until in (1, 2, 3, 5, 8, 13, 21, 34):
        process = subprocess.Popen([sys.executable, "-c", LOOP, file], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        seen = set()
        while len(seen) < until:
            assert process.poll() is None
            if file.exists():
                seen.add(base_path(file))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert base_path(file).startswith("/models/")
    assert merge(file)


def base_path(file: Path) -> str:
    (entry,) = json.loads(file.read_text())["model_config_list"]
    return str(entry["config"]["base_path"])


def test_a_link_and_the_mode_of_its_file_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "config.json"
    real.write_text('{"model_config_list": []}')
    real.chmod(0o640)
    link.symlink_to(real)
    assert merge(link)
    assert link.is_symlink()
    assert "vlm" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640


def test_an_older_version_and_an_empty_base_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="mediapipe_config_list"):
        merge_servable(tmp_path / "config.json", "vlm", "vlm", "2025.0", dry_run=False)
    with pytest.raises(EdgeError, match="base-path is empty"):
        merge(tmp_path / "config.json", base_path="")
