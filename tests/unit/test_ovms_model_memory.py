from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.ovms.kv_cache import image_tokens, kv_bytes_of_token, kv_precision_in
from ovms_edge.ovms.model_memory import ModelMemory, kv_bytes_per_token, model_memory
from tests.unit.release_model import BIN_BYTES, KV_BYTES_PER_TOKEN, write_model


def test_a_vision_language_model_is_all_its_parts(tmp_path: Path) -> None:
    model = write_model(tmp_path / "vlm")
    (model / "stray.bin").write_bytes(b"no IR: there is no .xml beside it")
    assert model_memory(model) == ModelMemory(6 * BIN_BYTES, KV_BYTES_PER_TOKEN, 28)


def test_a_text_only_model_has_its_layers_at_the_top(tmp_path: Path) -> None:
    for name in ("openvino_model", "openvino_tokenizer"):
        (tmp_path / f"{name}.xml").write_text("<net></net>")
        (tmp_path / f"{name}.bin").write_bytes(b"12345")
    config = {"num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2, "hidden_size": 256}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert model_memory(tmp_path) == ModelMemory(10, 2 * 4 * 2 * 32 * 2, 4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "config.json is missing"),
        ("{", "config.json is not JSON"),
        ("[]", "config.json is not a JSON object"),
        ('{"model_config_list": []}', "config.json is OVMS's, not the model's"),
    ],
)
def test_a_config_that_is_not_the_models_is_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    model = write_model(tmp_path / "vlm")
    if text is None:
        (model / "config.json").unlink()
    else:
        (model / "config.json").write_text(text)
    with pytest.raises(EdgeError, match=reason):
        model_memory(model)


def test_a_directory_without_a_language_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"holds no openvino_language_model\.bin or openvino_model\.bin"):
        model_memory(tmp_path / "none")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"num_hidden_layers": 2, "num_key_value_heads": 2, "head_dim": 16}, 2 * 2 * 2 * 16 * 2),
        ({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64}, 2 * 2 * 4 * 16 * 2),
        (
            {
                "hidden_size": 1,
                "text_config": {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 8},
            },
            32,
        ),
        ({"num_hidden_layers": 2}, 0),
        ({"num_hidden_layers": "two", "num_attention_heads": 4, "hidden_size": 64}, 0),
        ({}, 0),
    ],
)
def test_kv_cache_of_one_token(config: dict[str, object], expected: int) -> None:
    assert kv_bytes_per_token(config) == expected


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("f32", 1600), ("f16", 800), ("bf16", 800), ("u8", 500), ("i8", 500), ("u4", 300)],
)
def test_a_quantized_token_has_its_scales_beside_it(precision: str, expected: int) -> None:
    assert kv_bytes_of_token(800, precision) == expected


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="'u16'"):
        kv_bytes_of_token(800, "u16")


@pytest.mark.parametrize(
    ("plugin_config", "expected"),
    [
        ({}, None),
        ({"KV_CACHE_PRECISION": "dynamic"}, None),
        ({"KV_CACHE_PRECISION": "U8"}, "u8"),
        ({"KV_CACHE_PRECISION": 8}, "8"),
    ],
)
def test_precision_is_read_from_a_plugin_config(
    plugin_config: dict[str, object], expected: str | None
) -> None:
    assert kv_precision_in(plugin_config) == expected


@pytest.mark.parametrize(("size", "tokens"), [((1920, 1080), 2691), ((1280, 720), 1196), ((28, 28), 1)])
def test_an_image_is_a_token_for_each_28_by_28_pixels(size: tuple[int, int], tokens: int) -> None:
    assert image_tokens(*size) == tokens
