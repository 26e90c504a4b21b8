# SPDX-License-Identifier: Apache-2.0
"""Armored OpenPGP public keys (RFC 4880), as far as their fingerprints. Private to this collection."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

BEGIN = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_BLOCK = re.compile(rf"{BEGIN}\n(?:[^\n]+\n)*\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL)
_PUBLIC_KEY = 6


class BadKeyError(Exception):
    """A key cannot be used; the text says why."""


def armored_key(given: str) -> str:
    """Return the text of a key that is given as that, or as a path on the controller; raises BadKeyError."""
    if BEGIN in given:
        return given.strip() + "\n"
    if "\n" in given:
        raise BadKeyError(f"is neither a path nor a text with {BEGIN}")
    try:
        text = Path(given).expanduser().read_text()
    except UnicodeDecodeError as error:
        raise BadKeyError(f"names {given}, which is not armored (gpg --enarmor makes it so)") from error
    except OSError as error:
        raise BadKeyError(f"names {given}, which the controller cannot read: {error.strerror}") from error
    if BEGIN not in text:
        raise BadKeyError(f"names {given}, which has no {BEGIN}")
    return text.strip() + "\n"


def fingerprints(armored: str) -> list[str]:
    """Return the fingerprint of each primary key, 40 digits; raises BadKeyError."""
    blocks = _BLOCK.findall(armored.replace("\r", ""))
    if not blocks:
        raise BadKeyError("has no whole block of a public key")
    found = []
    for block in blocks:
        lines = [line for line in block.split() if not line.startswith("=")]  # the checksum
        try:
            data = base64.b64decode("".join(lines), validate=True)
            found += [_fingerprint(body) for tag, body in _packets(data) if tag == _PUBLIC_KEY]
        except (binascii.Error, IndexError) as error:
            raise BadKeyError("is damaged") from error
    return found


def _fingerprint(body: bytes) -> str:
    if body[0] != 4:
        raise BadKeyError(f"has a key of version {body[0]}, and apt's tools know 4")
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper()  # noqa: S324


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and body; sections 4.2.1 (old lengths) and 4.2.2 (new ones)."""
    at = 0
    while at < len(data):
        head, first = data[at], data[at + 1]
        if not head & 0x80:
            raise BadKeyError("is damaged")
        if head & 0x40:
            tag, size = head & 0x3F, first
            skip = 2
            if 192 <= first < 224:
                size, skip = ((first - 192) << 8) + data[at + 2] + 192, 3
            elif first == 255:
                size, skip = int.from_bytes(data[at + 2 : at + 6], "big"), 6
        else:
            tag, width = (head >> 2) & 0x0F, 1 << (head & 3)
            size, skip = int.from_bytes(data[at + 1 : at + 1 + width], "big"), 1 + width
        body = data[at + skip : at + skip + size]
        if len(body) < size:
            raise BadKeyError("is damaged")
        yield tag, body
        at += skip + size
