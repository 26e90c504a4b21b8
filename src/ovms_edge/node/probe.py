"""The question that the gate asks: with an image, because that is what these models are for."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import Manifest
from ovms_edge.ovms.chat import chat_body

_SIDE = 56  # pixels; two patches of 28 a side in Qwen2.5-VL
_MAX_TOKENS = 16
_MIME = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".bmp": "image/bmp"}


@dataclass(frozen=True)
class Question:
    """One request and what its answer has to contain (case does not matter)."""

    id: str
    body: dict[str, Any]
    contains: tuple[str, ...]


def questions(manifest: Manifest, directory: Path, servable: str) -> list[Question]:
    """Return the release's golden set, or the built-in probe if it has none.

    An entry of the golden set is ``{"id", "prompt", "image", "max_completion_tokens", "contains"}``: image is
    the path of a file of the release. Raises EdgeError for an entry that is not so.
    """
    if not manifest.golden:
        url = _data_uri("image/png", _png())
        return [Question("probe", chat_body(servable, "What is in the picture?", [url], _MAX_TOKENS), ())]
    return [_golden(entry, manifest, directory, servable) for entry in manifest.golden]


def _golden(entry: Mapping[str, Any], manifest: Manifest, directory: Path, servable: str) -> Question:
    try:
        path, tokens = str(entry["image"]), int(entry.get("max_completion_tokens", _MAX_TOKENS))
        if path not in {file.path for file in manifest.files}:
            raise ValueError(f"image {path!r} is not a file of the release")
        mime = _MIME[Path(path).suffix.lower()]
        url = _data_uri(mime, (directory / path).read_bytes())
        body = chat_body(servable, str(entry["prompt"]), [url], tokens)
        return Question(str(entry["id"]), body, tuple(str(text) for text in entry.get("contains", ())))
    except (KeyError, ValueError, TypeError) as error:
        raise EdgeError(
            f"golden set of {manifest.ref} is not readable: {error!r}",
            "build the release again with a valid one",
        ) from error


def _data_uri(mime: str, image: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(image).decode()}"


def _png() -> bytes:
    """Return a red square on white, as PNG."""
    rows = bytearray()
    for y in range(_SIDE):
        rows.append(0)
        for x in range(_SIDE):
            inside = _SIDE // 4 <= x < 3 * _SIDE // 4 and _SIDE // 4 <= y < 3 * _SIDE // 4
            rows += b"\xd0\x10\x10" if inside else b"\xff\xff\xff"
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
