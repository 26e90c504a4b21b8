"""What serving a model takes, read from its directory: bytes of weights, bytes of KV cache a token."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.ovms.json_file import read_object

MODEL_CONFIG = "config.json"
# One of these is there in whatever OVMS serves as text generation: of a vision-language model, of a plain one
# (openvino.genai 2025.4.1.0, src/cpp/src/continuous_batching/pipeline.cpp).
LANGUAGE_MODELS = ("openvino_language_model", "openvino_model")

_KEY_AND_VALUE = 2
_FP16_BYTES = 2
_OVMS_CONFIG_KEYS = ("model_config_list", "mediapipe_config_list")


@dataclass(frozen=True)
class ModelMemory:
    """What a model needs.

    ``weights_bytes`` is the sum of the IR's .bin files, ``kv_bytes_per_token`` the KV cache of one token at
    fp16 (0: unknown), ``layers`` the decoder layers (0: unknown).
    """

    weights_bytes: int
    kv_bytes_per_token: int = 0
    layers: int = 0


def model_memory(directory: Path) -> ModelMemory:
    """Return what the exported model in ``directory`` needs.

    Raises EdgeError if there is no language model in it, or its config.json is missing, no JSON object, or
    OVMS's. Whether the files are whole is ``ovms_edge.ovms.ir``'s to say.
    """
    if not any((directory / f"{name}.bin").is_file() for name in LANGUAGE_MODELS):
        raise EdgeError(
            f"{directory} holds no {' or '.join(f'{name}.bin' for name in LANGUAGE_MODELS)}",
            "name the directory that the export wrote, or export the model again",
        )
    pairs = [path for path in directory.glob("*.bin") if path.with_suffix(".xml").is_file()]
    config = _read_config(directory / MODEL_CONFIG)
    return ModelMemory(
        sum(path.stat().st_size for path in pairs), kv_bytes_per_token(config), decoder_layers(config)
    )


def kv_bytes_per_token(config: dict[str, Any]) -> int:
    """Return 2 (key, value) x layers x KV heads x head size x 2 bytes; 0 if ``config`` does not say."""
    fields = _text_fields(config)
    heads = _count(fields, "num_attention_heads")
    kv_heads = _count(fields, "num_key_value_heads") or heads
    head_size = _count(fields, "head_dim") or (_count(fields, "hidden_size") // heads if heads else 0)
    return _KEY_AND_VALUE * decoder_layers(config) * kv_heads * head_size * _FP16_BYTES


def decoder_layers(config: dict[str, Any]) -> int:
    """Return the number of the language model's layers; 0 if ``config`` does not say."""
    return _count(_text_fields(config), "num_hidden_layers")


def _text_fields(config: dict[str, Any]) -> dict[str, Any]:
    """Vision-language models keep these under ``text_config`` or at the top, by transformers version."""
    text = config.get("text_config")
    return {**config, **text} if isinstance(text, dict) else config


def _count(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _read_config(path: Path) -> dict[str, Any]:
    document = read_object(path)
    if any(key in document for key in _OVMS_CONFIG_KEYS):
        raise EdgeError(
            f"{path} is OVMS's, not the model's",
            "name the servable's own directory, below the model repository",
        )
    return document
