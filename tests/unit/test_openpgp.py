from __future__ import annotations

import base64
from pathlib import Path

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils._openpgp import (
    BadKeyError,
    armored_key,
    fingerprints,
)
from tests.unit.openpgp_keys import ED25519, ED25519_FINGERPRINT, RSA, RSA_FINGERPRINT


@pytest.mark.parametrize(
    ("armored", "found"),
    [
        (ED25519, [ED25519_FINGERPRINT]),
        (RSA, [RSA_FINGERPRINT]),
        (RSA.replace("\n", "\r\n"), [RSA_FINGERPRINT]),
        (ED25519 + RSA, [ED25519_FINGERPRINT, RSA_FINGERPRINT]),
    ],
)
def test_fingerprints_are_those_that_gpg_says(armored: str, found: list[str]) -> None:
    assert fingerprints(armored) == found


def test_lengths_of_the_new_format_are_read() -> None:
    (old,) = (base64.b64decode("".join(ED25519.splitlines()[2:-2])),)
    body = old[2 : 2 + old[1]]
    for length in (bytes([len(body)]), b"\xff" + len(body).to_bytes(4, "big")):
        block = base64.b64encode(bytes([0xC0 | 6]) + length + body).decode()
        lines = ("-----BEGIN PGP PUBLIC KEY BLOCK-----", "", block, "-----END PGP PUBLIC KEY BLOCK-----", "")
        assert fingerprints("\n".join(lines)) == [ED25519_FINGERPRINT]


@pytest.mark.parametrize(
    "text",
    [
        ED25519[:200],
        ED25519.replace("mDMEawqyz", "mDME"),
        ED25519.replace("mDME", "!!!!"),
        ED25519.replace("mDME", "AAAA"),
    ],
)
def test_a_damaged_key_is_refused(text: str) -> None:
    with pytest.raises(BadKeyError):
        fingerprints(text)


def test_a_key_is_a_text_or_the_path_of_one(tmp_path: Path) -> None:
    path = tmp_path / "key.asc"
    path.write_text(ED25519)
    assert armored_key(str(path)) == armored_key(f"\n{ED25519}\n") == ED25519


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xc6\xff\x98", "not armored"),
        (b"text", "which has no -----BEGIN PGP"),
        (None, "cannot read: No such"),
    ],
)
def test_a_path_to_no_armored_key_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadKeyError, match=said):
        armored_key(str(path))
