"""docs/config.md shows what the commands print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "config.md"


def documented() -> list[tuple[str, str]]:
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [
        (command, printed)
        for block in blocks
        for command, _, printed in (part.partition("\n") for part in block.split("$ ")[1:])
    ]


def test_the_page_shows_what_the_commands_print(tmp_path: Path) -> None:
    commands = documented()
    assert len(commands) == 7
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
        assert done.stdout + done.stderr == printed, command
