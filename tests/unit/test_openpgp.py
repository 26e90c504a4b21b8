from __future__ import annotations

import base64

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils._openpgp import fingerprint

# Made for this test by GnuPG 2.2.40, which lists it with this fingerprint.
FINGERPRINT = "70A6C95FF35E83B5E664FD13F33BEEB3352F7E22"
KEY = """-----BEGIN PGP PUBLIC KEY BLOCK-----
Comment: for tests

mDMEawqzPBYJKwYBBAHaRw8BAQdAAeSXz9uK4E+A3RefRNfR2Mqr7azv17PPcVnN
MwS+V/a0D2VkMjU1MTlAZXhhbXBsZYiQBBMWCAA4FiEEcKbJX/Neg7XmZP0T8zvu
szUvfiIFAmsKszwCGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQ8zvuszUv
fiJ0WQD5AdH2iQC9LwBJ12ZKLrOtTph39FR4W+1HS/pKq1PWz9cBAJSObuIbaLA9
Djd+MXYVJAPG+a8/CeIZ/a513ODRor0G
=2pGO
-----END PGP PUBLIC KEY BLOCK-----
"""


def armored(packet: bytes) -> str:
    text = base64.b64encode(packet).decode()
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{text}\n-----END PGP PUBLIC KEY BLOCK-----"


@pytest.mark.parametrize("text", [KEY, KEY.replace("\n", "\r\n"), KEY.replace("Comment: for tests\n", "")])
def test_the_fingerprint_is_gpgs(text: str) -> None:
    assert fingerprint(text) == FINGERPRINT


def test_the_form_of_a_packets_length_does_not_matter() -> None:
    body = base64.b64decode("".join(KEY.split("\n\n")[1].splitlines()[:2]))[2:][:51]
    for head in (b"\x98\x33", b"\x99\x00\x33", b"\xc6\x33"):
        assert fingerprint(armored(head + body)) == FINGERPRINT


@pytest.mark.parametrize(
    "text", ["", "a key", armored(b"\x00\x00\x00"), armored(b"\x99"), KEY.replace("m", "!")]
)
def test_what_is_no_key_has_none(text: str) -> None:
    assert fingerprint(text) is None
