"""ovms-service/export_requirements.txt installs by pip alone, and what it installs exports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ovms_edge.export.content import read_export

ROOT = Path(__file__).parents[2]


def test_requirements_in_a_fresh_environment_export_the_tiny_model(tmp_path: Path) -> None:
    python, source = tmp_path / "venv" / "bin" / "python", tmp_path / "tiny"
    requirements = ROOT / "ovms-service/export_requirements.txt"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", requirements], check=True)
    subprocess.run([python, ROOT / "lab/tiny_model.py", source], check=True)
    command = [python, ROOT / "ovms-service/export_model.py", "text_generation", "--source_model", source]
    done = subprocess.run(
        [*command, "--model_repository_path", tmp_path / "models", "--cache_size", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pinned = (line.split("==") for line in requirements.read_text().splitlines() if "==" in line)
    versions = dict(pinned)
    tools = read_export(tmp_path / "models" / "tiny-ov-int8").tools
    assert {name: version.partition("+")[0] for name, version in tools.items()} == {
        name: versions[name] for name in tools
    }
