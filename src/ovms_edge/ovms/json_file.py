"""The JSON files of a model: each holds one object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError


def read_object(path: Path, remedy: str = "export the model again") -> dict[str, Any]:
    """Return the JSON object in ``path``; raises EdgeError, with ``remedy``, if there is none."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise EdgeError(f"{path} is missing", remedy) from error
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", remedy) from error
    except ValueError as error:
        raise EdgeError(f"{path} is not JSON: {error}", remedy) from error
    if not isinstance(document, dict):
        raise EdgeError(f"{path} is not a JSON object", remedy)
    return document
