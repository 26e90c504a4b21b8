# SPDX-License-Identifier: Apache-2.0
"""Fingerprints of OpenPGP keys, without a program for it. Private to this collection."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

_ARMOR = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----\s*\n(?:[^\n]+: [^\n]*\n)*\s*\n"
    r"(?P<body>.*?)\n(?:=[^\n]*\n)?-----END",
    re.DOTALL,
)
_PUBLIC_KEY = 6


def fingerprint(armored: str) -> str | None:
    """Return the fingerprint of the first key in an ASCII-armored text, as RFC 4880, 12.2, says.

    40 upper-case hex digits; None if there is no such key.
    """
    match = _ARMOR.search(armored.replace("\r", ""))
    try:
        packets = base64.b64decode(match["body"], validate=False) if match else b""
        tag, body = _first_packet(packets)
    except (binascii.Error, IndexError):
        return None
    if tag != _PUBLIC_KEY or body[:1] != b"\x04":
        return None
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper()  # noqa: S324 - the format's


def _first_packet(data: bytes) -> tuple[int, bytes]:
    head = data[0]
    if head & 0x40:  # new format
        size, start = data[1], 2
        if size >= 192:
            size, start = ((size - 192) << 8) + data[2] + 192, 3
        return head & 0x3F, data[start : start + size]
    length = 1 << (head & 0x03)
    start = 1 + length
    return (head >> 2) & 0x0F, data[start : start + int.from_bytes(data[1:start], "big")]
