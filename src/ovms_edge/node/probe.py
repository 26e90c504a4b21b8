"""The question that the gate asks: with an image, because that is what these models are for."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.golden import IMAGE_TYPES, Case, question_key, read_case
from ovms_edge.manifest import Manifest
from ovms_edge.ovms.chat import chat_body

_SIDE = 56  # pixels; two patches of 28 a side in Qwen2.5-VL
_PROBE = Case("probe", "What is in the picture?", ("probe.png",), max_completion_tokens=16)


@dataclass(frozen=True)
class Question:
    """One case and the request that asks it. ``key``: see ``question_key``."""

    case: Case
    body: dict[str, Any]
    key: str


def questions(manifest: Manifest, directory: Path, servable: str) -> list[Question]:
    """Return the release's golden set, or the built-in probe if it has none.

    Raises EdgeError for an entry that is not one (``read_case``), or whose image is no file of the release.
    """
    if not manifest.golden:
        return [warm_up(servable)]
    try:
        cases = [read_case(entry) for entry in manifest.golden]
        return [_question(case, _images(case, manifest, directory), servable) for case in cases]
    except (EdgeError, OSError) as error:
        raise EdgeError(
            f"golden set of {manifest.ref} is not readable: {error}",
            "build the release again with a valid one",
        ) from error


def warm_up(servable: str) -> Question:
    """Return the built-in probe: whatever the model makes of it, it makes OVMS allocate its KV memory."""
    return _question(_PROBE, {"probe.png": _png()}, servable)


def _question(case: Case, images: dict[str, bytes], servable: str) -> Question:
    urls = [_data_uri(IMAGE_TYPES[Path(path).suffix.lower()], images[path]) for path in case.images]
    body = chat_body(servable, case.prompt, urls, case.max_completion_tokens)
    return Question(case, body, question_key(case, images))


def _images(case: Case, manifest: Manifest, directory: Path) -> dict[str, bytes]:
    files = {file.path for file in manifest.files}
    for path in case.images:
        if path not in files:
            raise EdgeError(f"image {path!r} of {case.id!r} is not a file of the release", "add it")
    return {path: (directory / path).read_bytes() for path in case.images}


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
