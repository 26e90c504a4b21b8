"""A fresh copy of ovms-service and of the code that it runs, with this environment as its .venv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / ".lab/model/source"
NAME = "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8"
MODEL = f"models/{NAME}"


@dataclass(frozen=True)
class Result:
    """Both streams in the order of their lines, and the exit status."""

    output: str
    status: int


@dataclass(frozen=True)
class Machine:
    """Where the export runs: commands in the folder, the tiny model as source, no terminal."""

    project: Path

    @property
    def service(self) -> Path:
        return self.project / "ovms-service"

    @property
    def model(self) -> Path:
        return self.service / MODEL

    def command(self, command: str) -> list[str]:
        return ["bash", "-euo", "pipefail", "-c", f". .venv/bin/activate\n{command}"]

    def environment(self, search_path: str = "") -> dict[str, str]:
        return os.environ | {"SOURCE_MODEL": str(TINY), "MODEL_SEARCH_PATH": search_path}

    def run(self, command: str, search_path: str = "") -> Result:
        done = subprocess.run(
            self.command(command),
            cwd=self.service,
            env=self.environment(search_path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Result(done.stdout, done.returncode)

    def must(self, command: str, search_path: str = "") -> str:
        result = self.run(command, search_path)
        assert result.status == 0, f"{command}\n{result.output}"
        return result.output


def copy_project(directory: Path) -> Machine:
    """Copy what git has, or would have, of the folder and of ``src``."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "ovms-service", "src"]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, files.split("\0")):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, directory / name)
    (directory / "ovms-service/.venv").symlink_to(sys.prefix)
    return Machine(directory)
