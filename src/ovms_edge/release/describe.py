"""What the files beside the weights say about a model: where it came from and what serving it needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.graph.reader import read_graph
from ovms_edge.release.content import EXPORT_RECORD, GRAPH_FILE

MODEL_CONFIG = "config.json"
FP16_BYTES = 2
HOST_OPTIONS = ("models_path", "device")  # each node's own
KEY_AND_VALUE = 2
_OVMS_CONFIG_KEYS = ("model_config_list", "mediapipe_config_list")


def read_source(model: Path) -> dict[str, Any]:
    """Return the export record's account of the model, or nothing if it was exported without one."""
    path = model / EXPORT_RECORD
    return _read_object(path) if path.exists() else {}


def read_graph_defaults(model: Path, ovms_version: str) -> dict[str, Any]:
    """Return the options that graph.pbtxt sets, those of one host left out.

    Raises EdgeError if it is missing, or one that ``ovms_version`` could not load.
    """
    path = model / GRAPH_FILE
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeError(f"{path} cannot be read: {error}", "export the model again") from error
    options = read_graph(text, ovms_version).llm_options
    if not options:
        raise EdgeError(f"{path} has no LLMCalculatorOptions", "export the model again as text_generation")
    return {name: value for name, value in options.items() if name not in HOST_OPTIONS}


def read_kv_bytes_per_token(model: Path) -> int:
    """Return bytes of KV cache for one token at fp16, from the model's own config.json.

    0 if the file does not say. Raises EdgeError if config.json is missing, no JSON object, or OVMS's.
    """
    config = _read_object(model / MODEL_CONFIG)
    if any(key in config for key in _OVMS_CONFIG_KEYS):
        raise EdgeError(
            f"{model / MODEL_CONFIG} is OVMS's, not the model's",
            "name the servable's own directory, below the model repository",
        )
    return kv_bytes_per_token(config)


def kv_bytes_per_token(config: dict[str, Any]) -> int:
    """Return 2 (key, value) x layers x KV heads x head size x 2 bytes; 0 if ``config`` does not say.

    Vision-language models keep these under ``text_config`` or at the top, by transformers version.
    """
    text = config.get("text_config")
    fields = {**config, **text} if isinstance(text, dict) else config
    layers = _count(fields, "num_hidden_layers")
    heads = _count(fields, "num_attention_heads")
    kv_heads = _count(fields, "num_key_value_heads") or heads
    head_dim = _count(fields, "head_dim") or (_count(fields, "hidden_size") // heads if heads else 0)
    return KEY_AND_VALUE * layers * kv_heads * head_dim * FP16_BYTES


def _count(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _read_object(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", "export the model again") from error
    except ValueError as error:
        raise EdgeError(f"{path} is not JSON: {error}", "export the model again") from error
    if not isinstance(document, dict):
        raise EdgeError(f"{path} is not a JSON object", "export the model again")
    return document
