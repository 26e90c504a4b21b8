"""Images for a request: told by their bytes, sent as data URIs."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError

_LARGE_PIXELS = 2_000_000
_CONVERT = "convert it to JPEG or PNG first"
_START_BYTES = 32
_MOST_BYTES = 20_000_000  # ours, that of OVMS for images by URL; far below its limit for a request
_MOST_PIXELS = 100_000_000  # ours: OVMS decodes to 3 bytes a pixel, in memory, before it scales
_SCALE = "scale it down"


@dataclass(frozen=True)
class Image:
    """``width`` and ``height`` in pixels, 0 where the file does not say."""

    name: str
    mime: str
    data: bytes
    width: int = 0
    height: int = 0

    @property
    def url(self) -> str:
        """The image as a data URI."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"

    @property
    def hint(self) -> str:
        """What is to be said about its size; empty if nothing is.

        A model's preprocessor takes up to 12.8 million pixels, each 28x28 of them a token in Qwen2.5-VL.
        """
        if self.width * self.height <= _LARGE_PIXELS:
            return ""
        tokens = self.width * self.height // (28 * 28)
        return f"{self.name} has {self.width}x{self.height} pixels, about {tokens} tokens: scale it down"


def read_image(path: Path) -> Image:
    """Return the image in ``path``: JPEG, PNG or BMP, as its bytes tell.

    OVMS decodes with stb_image, which knows neither WEBP nor HEIC nor AVIF (model_server v2025.4.1,
    src/llm/apis/openai_completions.cpp). Raises EdgeError for anything else.
    """
    try:
        if path.exists() and not path.is_file():
            raise EdgeError(f"{path} is no regular file", "give the path of an image")
        if path.stat().st_size > _MOST_BYTES:
            raise EdgeError(f"{path} is larger than {_MOST_BYTES} bytes", _SCALE)
        data = path.read_bytes()
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", "give the path of an image") from error
    return image_from(path.name, data)


def image_from(name: str, data: bytes) -> Image:
    """Return ``data`` as an image; raises EdgeError if it is none that OVMS decodes, or of no sane size."""
    image = _image(name, data)
    if not image.width or not image.height:
        raise EdgeError(f"{name} does not say its width and height: it is cut off", "export it again")
    if image.width * image.height > _MOST_PIXELS:
        raise EdgeError(f"{name} has {image.width}x{image.height} pixels, more than {_MOST_PIXELS}", _SCALE)
    return image


def _image(name: str, data: bytes) -> Image:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Image(name, "image/png", data, _number(data[16:20], "big"), _number(data[20:24], "big"))
    if data.startswith(b"\xff\xd8\xff"):
        return Image(name, "image/jpeg", data, *_jpeg_size(data))
    if data.startswith(b"BM"):
        height = int.from_bytes(data[22:26], "little", signed=True)  # negative: rows run downwards
        return Image(name, "image/bmp", data, _number(data[18:22], "little"), abs(height))
    kind = _other_kind(data[:_START_BYTES])
    raise EdgeError(f"{name} is {kind}, and OVMS decodes JPEG, PNG and BMP", _CONVERT)


def _other_kind(start: bytes) -> str:
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        return "AVIF" if start[8:12] in (b"avif", b"avis") else "HEIC or a video"
    if start[:4] in (b"II*\0", b"MM\0*"):
        return "TIFF"
    if start[:4] == b"GIF8":
        return "GIF"
    if start[:4] == b"%PDF":
        return "PDF"
    return "no known image" if start else "empty"


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Return width and height from the frame header, (0, 0) if there is none."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        # SOF0 to SOF15, without the three that are tables (DHT, JPG, DAC)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _number(data[at + 7 : at + 9], "big"), _number(data[at + 5 : at + 7], "big")
        at += 2 + _number(data[at + 2 : at + 4], "big")
    return 0, 0


def _number(data: bytes, order: str) -> int:
    return int.from_bytes(data, "big" if order == "big" else "little")
