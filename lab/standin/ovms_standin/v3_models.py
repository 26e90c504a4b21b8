"""``GET /v3/models``, the best probe of what is served (v2025.4.1 src/http_rest_api_handler.cpp)."""

from __future__ import annotations

import json
import time
from typing import Any


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(time.time()), "owned_by": "OVMS"}


def list_models(available: list[str]) -> str:
    """OVMS writes the key ``object`` twice."""
    data = json.dumps([_model(name) for name in available], separators=(",", ":"))
    return f'{{"object":"list","data":{data},"object":"list"}}'


def retrieve_model(name: str, available: list[str]) -> tuple[str, int]:
    if name not in available:
        return '{"error":"Model not found"}', 500
    return json.dumps(_model(name), separators=(",", ":")), 200
