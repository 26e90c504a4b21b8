"""Images of a request (v2025.4.1 src/llm/apis/openai_completions.cpp): data URIs, URLs, local files."""

from __future__ import annotations

import base64
import binascii
import io
import logging
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from ovms_standin.status import InvalidArgument

logger = logging.getLogger("llm_calculator")
_SIZE_LIMIT = 20_000_000
_URL = re.compile(r"(http|https|ftp|sftp|)://(.*)")
_STB_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TGA", "PSD", "PPM")  # what stb_image can read
_DOWNLOAD_SECONDS = 60


@dataclass(frozen=True)
class Pixels:
    """8-bit RGB, rows first."""

    width: int
    height: int
    data: bytes


def load(url: str, allowed_local_media_path: str | None) -> Pixels:
    """Return the image behind ``image_url.url``; raises InvalidArgument."""
    _, marker, encoded = url.partition("base64,")
    if marker:
        return _decode(_unescape(encoded))
    if _URL.fullmatch(url):
        return _decode(_download(url))
    if allowed_local_media_path is None:
        raise InvalidArgument("Loading images from local filesystem is disabled.")
    if ".." in Path(url).parts:
        raise InvalidArgument(f"Path {url} escape with .. is forbidden.")
    if not url.startswith(allowed_local_media_path):
        raise InvalidArgument("Given filepath is not subpath of allowed_local_media_path")
    try:
        return _decode(Path(url).read_bytes())
    except OSError as error:
        raise InvalidArgument(f"Image file {url} parsing failed: {error.strerror}") from error


def _unescape(encoded: str) -> bytes:
    text = "".join(encoded.split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise InvalidArgument("Invalid base64 string in request") from error


def _download(url: str) -> bytes:
    # OVMS 2025.4.1 fetches whatever it is given, too: the network around it must have no way out
    try:
        with urllib.request.urlopen(url, timeout=_DOWNLOAD_SECONDS) as response:  # noqa: S310
            data: bytes = response.read(_SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        logger.error("Downloading image failed: %s", error)
        raise InvalidArgument("Image downloading failed") from error
    if len(data) > _SIZE_LIMIT:
        raise InvalidArgument("Image downloading failed")
    return data


def _decode(data: bytes) -> Pixels:
    try:
        with Image.open(io.BytesIO(data), formats=_STB_FORMATS) as image:
            rgb = image.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InvalidArgument(f"Image parsing failed: {error}") from error
    return Pixels(rgb.width, rgb.height, rgb.tobytes())
