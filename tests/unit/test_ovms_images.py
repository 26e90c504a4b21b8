from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image as Pillow

from ovms_edge.errors import EdgeError
from ovms_edge.ovms.images import image_from, read_image


def drawn(kind: str, width: int = 30, height: int = 20, **options: object) -> bytes:
    stream = BytesIO()
    Pillow.new("RGB", (width, height), (200, 30, 30)).save(stream, kind, **options)  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (drawn("PNG"), "image/png"),
        (drawn("JPEG"), "image/jpeg"),
        (drawn("JPEG", progressive=True), "image/jpeg"),
        (drawn("JPEG", exif=b"Exif\0\0" + b"\xff\xc0" * 40), "image/jpeg"),
        (drawn("BMP"), "image/bmp"),
    ],
    ids=["png", "jpeg", "progressive-jpeg", "jpeg-with-exif", "bmp"],
)
def test_an_image_is_told_by_its_bytes(data: bytes, mime: str) -> None:
    image = image_from("wrong.txt", data)
    assert (image.mime, image.width, image.height) == (mime, 30, 20)
    head, _, body = image.url.partition(",")
    assert head == f"data:{mime};base64"
    assert base64.b64decode(body) == data


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (drawn("WEBP"), "WEBP"),
        (drawn("GIF"), "GIF"),
        (drawn("TIFF"), "TIFF"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "HEIC"),
        (b"\0\0\0\x1cftypavif" + bytes(20), "AVIF"),
        (b"%PDF-1.7", "PDF"),
        (b"", "empty"),
        (b"hello", "no known image"),
    ],
)
def test_what_ovms_does_not_decode_is_refused_by_name(data: bytes, kind: str) -> None:
    with pytest.raises(EdgeError, match=f"photo is {kind}") as caught:
        image_from("photo", data)
    assert "JPEG" in caught.value.remedy


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\x00\x00" * 3, b"BM", b"\x89PNG\r\n\x1a\n"]
)
def test_an_image_that_does_not_say_its_size_is_refused(data: bytes) -> None:
    with pytest.raises(EdgeError, match="cut does not say its width"):
        image_from("cut", data)


def test_an_image_of_too_many_pixels_is_refused() -> None:
    with pytest.raises(EdgeError, match="scale it down"):
        image_from("huge", drawn("PNG")[:16] + b"\0\1\0\0" * 2)


def test_a_jpeg_with_fill_bytes_has_its_size() -> None:
    data = drawn("JPEG").replace(b"\xff\xc0", b"\xff\xff\xff\xc0")
    assert image_from("filled", data).width == 30


def test_a_device_is_no_image() -> None:
    with pytest.raises(EdgeError, match="no regular file"):
        read_image(Path("/dev/zero"))


def test_a_large_photo_is_sent_with_a_hint() -> None:
    assert image_from("small.png", drawn("PNG", 1600, 1200)).hint == ""
    hint = image_from("big.jpg", drawn("JPEG", 4000, 3000)).hint
    assert "big.jpg has 4000x3000 pixels, about 15306 tokens" in hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"none\.png cannot be read: No such file"):
        read_image(tmp_path / "none.png")
