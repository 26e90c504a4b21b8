"""``config.json`` of OVMS (not the model's own): what the server serves."""

from __future__ import annotations

import json

from ovms_edge.errors import EdgeError


def render_config(servable: str, base_path: str) -> str:
    """Return the text of ``config.json`` for one servable whose directory is ``base_path``.

    A relative ``base_path`` counts from the directory of ``config.json``. OVMS rejects any key that its
    schema does not name, comments included (model_server v2025.4.1, src/schema.cpp). Raises EdgeError for a
    name that OVMS would list unescaped in ``/v1/config`` and so break its JSON.
    """
    if not servable or any(character in '"\\' or ord(character) < 32 for character in servable):
        raise EdgeError(
            f"servable name {servable!r} is empty or holds quotes, backslashes or control characters",
            "choose a plain name such as Qwen/Qwen2.5-VL-7B-Instruct-ov-int8",
        )
    entry = {"config": {"name": servable, "base_path": base_path}}
    return json.dumps({"model_config_list": [entry]}, indent=2) + "\n"
