"""Print pyproject.toml's dependencies with all extras, one a line.

pip checks the hashes of constraints.txt only when nothing in the same call is a local directory, so the
dependencies are installed from this list, and the project itself after them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text())["project"]

for requirements in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
    print(*requirements, sep="\n")
