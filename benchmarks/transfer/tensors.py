"""The constants of an exported INT8 IR, and ways to change them in place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

_LEAST_WEIGHT_BYTES = 64 << 10


@dataclass(frozen=True)
class Tensor:
    """One constant; ``offset`` and ``size`` in bytes of the ``.bin``."""

    kind: str
    shape: tuple[int, ...]
    offset: int
    size: int

    @property
    def is_weight(self) -> bool:
        """Whether it is a matrix of quantised weights, as NNCF leaves them: u8, and one row a channel."""
        return self.kind == "u8" and self.size >= _LEAST_WEIGHT_BYTES and len(self.shape) > 1

    @property
    def is_scale(self) -> bool:
        """Whether it is a column of scales."""
        return self.kind == "f16" and len(self.shape) > 1 and self.shape[-1] == 1


def read_tensors(xml: Path) -> list[Tensor]:
    """Return the constants of an IR in the order of their offsets, each once."""
    found: dict[int, Tensor] = {}
    for layer in ET.parse(xml).iter("layer"):  # noqa: S314  a file of our own
        data = layer.find("data")
        if layer.get("type") == "Const" and data is not None:
            shape = tuple(int(part) for part in data.get("shape", "").split(",") if part.strip())
            offset = int(data.get("offset", 0))
            found[offset] = Tensor(data.get("element_type", ""), shape, offset, int(data.get("size", 0)))
    return [found[offset] for offset in sorted(found)]


def quantised(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return normal weights quantised per channel to u8, asymmetric, as NNCF does."""
    random = np.random.default_rng(seed)
    weights = random.standard_normal((shape[0], int(np.prod(shape[1:]))), dtype=np.float32)
    low, high = weights.min(1, keepdims=True), weights.max(1, keepdims=True)
    scales = (high - low) / 255
    return np.clip(np.round(weights / scales) + np.round(-low / scales), 0, 255).astype(np.uint8)


def opened(binary: Path) -> np.ndarray:
    """Return the bytes of a file, to be changed in place."""
    return np.memmap(binary, dtype=np.uint8, mode="r+")


def put(content: np.ndarray, tensor: Tensor, values: np.ndarray) -> int:
    """Replace a tensor; returns its size in bytes."""
    content[tensor.offset : tensor.offset + tensor.size] = values.reshape(-1).view(np.uint8)
    return tensor.size


def insert_constant(xml: Path, size: int, share: float) -> None:
    """Insert a constant of ``size`` random bytes at the tensor that begins at ``share`` of the weights."""
    binary = xml.with_suffix(".bin")
    content = binary.read_bytes()
    at = min(
        (tensor.offset for tensor in read_tensors(xml) if tensor.is_weight),
        key=lambda offset: abs(offset - share * len(content)),
    )
    random = np.random.default_rng(38).bytes(size)
    binary.write_bytes(content[:at] + random + content[at:])
    text = re.sub(
        r' offset="(\d+)"',
        lambda found: f' offset="{int(found[1]) + (size if int(found[1]) >= at else 0)}"',
        xml.read_text(),
    )
    number = max(int(found) for found in re.findall(r'<layer id="(\d+)"', text)) + 1
    port = f'<port id="0" precision="U8"><dim>{size}</dim></port>'
    layers = (
        f'<layer id="{number}" name="inserted" type="Const" version="opset1">'
        f'<data element_type="u8" shape="{size}" offset="{at}" size="{size}" />'
        f"<output>{port}</output></layer>\n"
        f'<layer id="{number + 1}" name="inserted/result" type="Result" version="opset1">'
        f"<input>{port}</input></layer>\n"
    )
    edge = f'<edge from-layer="{number}" from-port="0" to-layer="{number + 1}" to-port="0" />\n'
    text = _before_last(_before_last(text, "</layers>", layers), "</edges>", edge)
    xml.write_text(text)


def _before_last(text: str, tag: str, added: str) -> str:
    head, _, tail = text.rpartition(tag)
    return f"{head}{added}{tag}{tail}"
