"""``config.json`` of OVMS (not the model's own): what the server serves."""

from __future__ import annotations

import copy
import json
from typing import Any

from ovms_edge.errors import EdgeError


def render_config(servable: str, base_path: str) -> str:
    """Return the text of ``config.json`` for one servable whose directory is ``base_path``.

    A relative ``base_path`` counts from the directory of ``config.json``. OVMS rejects any key that its
    schema does not name, comments included (model_server v2025.4.1, src/schema.cpp). Raises EdgeError for a
    name that ``check_name`` refuses.
    """
    check_name(servable)
    entry = {"config": {"name": servable, "base_path": base_path}}
    return json.dumps({"model_config_list": [entry]}, indent=2) + "\n"


def check_name(servable: str) -> None:
    """Raise EdgeError for a name that OVMS would list unescaped in ``/v1/config`` and so break its JSON."""
    if not servable or not servable.isprintable() or any(character in '"\\' for character in servable):
        raise EdgeError(
            f"servable name {servable!r} is empty or holds quotes, backslashes or control characters",
            "choose a plain name such as Qwen/Qwen2.5-VL-7B-Instruct-ov-int8",
        )


def with_servable(config: dict[str, Any], name: str, base_path: str) -> dict[str, Any]:
    """Return ``config`` with one entry for ``name`` under model_config_list, all else as it was.

    Raises EdgeError if ``name`` is taken by an entry of another list: OVMS would serve only one of the two
    (model_server v2025.4.1, src/mediapipe_internal/mediapipegraphdefinition.cpp), and for a name that
    ``check_name`` refuses.
    """
    check_name(name)
    for other in ("mediapipe_config_list", "pipeline_config_list"):
        if any(isinstance(entry, dict) and entry.get("name") == name for entry in config.get(other, [])):
            raise EdgeError(f"{name} is already served from {other}", "remove that entry from config.json")
    merged = copy.deepcopy(config)
    entries = merged.setdefault("model_config_list", [])
    for entry in entries:
        settings = entry.get("config") if isinstance(entry, dict) else None
        if isinstance(settings, dict) and settings.get("name") == name:
            settings["base_path"] = base_path
            return merged
    entries.append({"config": {"name": name, "base_path": base_path}})
    return merged
