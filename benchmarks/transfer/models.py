"""A realistic INT8 repository and its successors.

The IR is written by OpenVINO itself (``save_model``) beside the other files of a real export: u8 weights, a
zero point and an f16 scale per channel, as NNCF leaves them. The weights are normal, quantised per channel.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as opset

HIDDEN = 1536
INSERTED_BYTES = 1_000_000
NAME = "openvino_language_model"
Layer = tuple[np.ndarray, np.ndarray, np.ndarray]  # u8 weights, u8 zero points, f16 scales
Successor = Callable[[list[Layer]], tuple[list[Layer], int]]


@dataclass(frozen=True)
class Case:
    """``successor`` is the model that follows the base; ``changed_bytes`` is what the base does not have."""

    name: str
    successor: Path
    changed_bytes: int


def make_cases(template: Path, work: Path, size: int) -> tuple[Path, list[Case]]:
    """Write the base model of about ``size`` bytes and its successors below ``work``."""
    layers = [_layer(number) for number in range(max(size // (HIDDEN * HIDDEN), 20))]
    base = _write(template, work / "base", layers)
    return base, [_case(name, make, template, work, layers) for name, make in _SUCCESSORS.items()]


def _case(
    name: str,
    make: Callable[[list[Layer]], tuple[list[Layer], int]],
    template: Path,
    work: Path,
    layers: list[Layer],
) -> Case:
    successor, changed = make(layers)
    directory = _write(template, work / name, successor, inserted=name == "inserted")
    if name == "configuration":
        path = directory / "generation_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "temperature": 0.2}))
        changed = path.stat().st_size
    return Case(name, directory, changed)


def _five_percent(layers: list[Layer]) -> tuple[list[Layer], int]:
    step = 20
    return (
        [_layer(10_000 + n) if n % step == 7 else layer for n, layer in enumerate(layers)],
        sum(_bytes(layer) for n, layer in enumerate(layers) if n % step == 7),
    )


def _little_everywhere(layers: list[Layer]) -> tuple[list[Layer], int]:
    """One weight in ten moves by one step: a synthetic stand-in for a fine-tune, which moves fewer."""
    tuned = []
    for number, (weights, zero_points, scales) in enumerate(layers):
        moved = np.random.default_rng(number).random(weights.shape, dtype=np.float32)
        step = (moved < 0.05).astype(np.uint8) - (moved > 0.95).astype(np.uint8)
        tuned.append((weights + step, zero_points, scales))
    return tuned, sum(_bytes(layer) for layer in layers)


def _requantised(layers: list[Layer]) -> tuple[list[Layer], int]:
    return [_layer(20_000 + n) for n in range(len(layers))], sum(_bytes(layer) for layer in layers)


_SUCCESSORS: dict[str, Successor] = {
    "configuration": lambda layers: (layers, 0),
    "five_percent": _five_percent,
    "inserted": lambda layers: (layers, INSERTED_BYTES),
    "little_everywhere": _little_everywhere,
    "requantised": _requantised,
}


def _layer(seed: int) -> Layer:
    random = np.random.default_rng(seed)
    weights = random.standard_normal((HIDDEN, HIDDEN), dtype=np.float32)
    low, high = weights.min(1, keepdims=True), weights.max(1, keepdims=True)
    scales = (high - low) / 255
    zero_points = np.round(-low / scales)
    quantised = np.clip(np.round(weights / scales) + zero_points, 0, 255).astype(np.uint8)
    return quantised, zero_points.astype(np.uint8), scales.astype(np.float16)


def _bytes(layer: Layer) -> int:
    return sum(part.nbytes for part in layer)


def _write(template: Path, directory: Path, layers: list[Layer], inserted: bool = False) -> Path:
    """Write the model: all of ``template``, a real export, with the language model made anew."""
    shutil.copytree(template, directory)
    tokens = opset.parameter([-1, HIDDEN], np.float32, name="inputs_embeds")
    flow = tokens
    for number, (weights, zero_points, scales) in enumerate(layers):
        if inserted and number == len(layers) * 38 // 100:
            extra = np.frombuffer(os.urandom(INSERTED_BYTES), dtype=np.uint8)
            flow = flow + opset.reduce_max(opset.convert(opset.constant(extra, name="inserted"), "f32"), 0)
        name = f"model.layers.{number}.weight"
        shifted = opset.convert(opset.constant(weights, name=name), "f16") - opset.convert(
            opset.constant(zero_points, name=f"{name}/zero_point"), "f16"
        )
        scaled = shifted * opset.constant(scales, name=f"{name}/scale")
        flow = opset.matmul(flow, opset.convert(scaled, "f32"), False, True)
    model = ov.Model([opset.result(flow, name="logits")], [tokens], "language_model")
    for suffix in (".xml", ".bin"):
        (directory / f"{NAME}{suffix}").unlink()
    ov.save_model(model, directory / f"{NAME}.xml", compress_to_fp16=False)
    return directory
