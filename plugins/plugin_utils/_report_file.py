# SPDX-License-Identifier: Apache-2.0
"""A report on the controller, replaced whole. Private to this collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_report(path: Path, document: dict[str, Any], indent: int) -> Path:
    """Write ``document`` as JSON; returns the path as a person would name it from here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    finished = path.with_name(f".{path.name}.new")
    finished.write_text(json.dumps(document, indent=indent) + "\n")
    finished.replace(path)
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
