"""How large a model is before it is converted: read from the headers of its safetensors files.

The format: https://github.com/huggingface/safetensors, "Format": eight bytes of header length, then JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError

_INDEX = "model.safetensors.index.json"
_LARGEST_HEADER_BYTES = 100_000_000  # what the format allows
_BYTES_OF_PARAMETER = 2  # of models without safetensors: published in 16 bits
_REMEDY = "download the model again"


@dataclass(frozen=True)
class Weights:
    """``parameters`` in all, and the ``source_bytes`` that they take in the source."""

    parameters: int
    source_bytes: int


def local_weights(directory: Path) -> Weights:
    """Return what a model's directory holds; nothing (0) of OpenVINO IR and of formats that are not known.

    Raises EdgeError if a file that the index names is missing, or one is cut off.
    """
    shards = _shards(directory)
    if not shards:
        return hub_weights({path.name: path.stat().st_size for path in directory.glob("*.bin")}, {})
    return Weights(sum(_parameters(shard) for shard in shards), sum(shard.stat().st_size for shard in shards))


def hub_weights(files: Mapping[str, int], parameters: Mapping[str, int]) -> Weights:
    """Return what the hub's file list (path: bytes) and its count of parameters (type: count) amount to."""
    for pattern in ("model*.safetensors", "pytorch_model*.bin"):
        size = sum(bytes_ for name, bytes_ in files.items() if Path(name).match(pattern) and "/" not in name)
        if size:
            return Weights(sum(parameters.values()) or size // _BYTES_OF_PARAMETER, size)
    return Weights(0, 0)


def _shards(directory: Path) -> list[Path]:
    index = directory / _INDEX
    if not index.is_file():
        single = directory / "model.safetensors"
        return [single] if single.is_file() else []
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EdgeError(f"{index} is damaged: {error}", _REMEDY) from error
    for name in names:
        if not (directory / name).is_file():
            raise EdgeError(f"{directory / name} is missing, {_INDEX} names it", _REMEDY)
    return [directory / name for name in names]


def _parameters(shard: Path) -> int:
    size = shard.stat().st_size
    with shard.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length <= min(size, _LARGEST_HEADER_BYTES) else b""
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        expected = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
        count = sum(int(math.prod(tensor["shape"])) for tensor in tensors.values())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise EdgeError(f"{shard} is damaged: no header of safetensors", _REMEDY) from error
    if size != expected:
        raise EdgeError(f"{shard} is cut off: {expected} bytes expected, {size} found", _REMEDY)
    return count
