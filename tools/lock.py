"""Write constraints.txt: every package at one version, with the hashes of its files and no addresses.

Run by `make lock`. uv resolves for all supported Pythons at once.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Exact versions and hashes of everything that pyproject.toml's dependencies need, for Python 3.11-3.13.
# Written by `make lock`; edit pyproject.toml instead.
"""


def main() -> None:
    """Resolve all extras and write the result."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal"]
    command += ["--python-version", "3.11", "--all-extras", "--generate-hashes", "--upgrade"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    resolved = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    (ROOT / "constraints.txt").write_text(HEADER + resolved)


if __name__ == "__main__":
    main()
