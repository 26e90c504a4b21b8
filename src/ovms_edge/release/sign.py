"""Sign a built release, so that nodes know who vouches for it."""

from __future__ import annotations

from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, SIGNATURE_FILE, Manifest
from ovms_edge.release.durable import write_atomically
from ovms_edge.release.sshsig import Signer, key_fingerprint, make_signature, read_signature


def sign_release(directory: Path, key: Path) -> tuple[Signer, bool]:
    """Write ``manifest.json.sig``; returns who signed, and whether that is new.

    A valid signature by the same key stays. Raises EdgeError if the release or the key is not usable.
    """
    data = read_manifest_bytes(directory)
    fingerprint = key_fingerprint(key)
    path = directory / SIGNATURE_FILE
    if path.is_file():
        present = read_signature(data, path.read_bytes())
        if present and present.fingerprint == fingerprint:
            return present, False
    signature = make_signature(data, key)
    signer = read_signature(data, signature)
    if signer is None or signer.fingerprint != fingerprint:
        raise EdgeError(
            f"the signature just made with {key} does not verify against {fingerprint}",
            "check that KEY and KEY.pub belong together",
        )
    try:
        write_atomically(path, signature)
    except OSError as error:
        raise EdgeError(
            f"{path} cannot be written: {error.strerror}", "free space or mend the permissions there"
        ) from error
    return signer, True


def read_manifest_bytes(directory: Path) -> bytes:
    """Return the manifest of a built release as it is on disk; raises EdgeError if it was edited."""
    path = directory / MANIFEST_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EdgeError(
            f"{directory} is no release: {path.name}: {error.strerror}",
            "name the directory that `ovms-edge release build` wrote",
        ) from error
    if Manifest.from_bytes(data).to_bytes() != data:
        raise EdgeError(f"{path} was edited after the build", "build the release again")
    return data


def read_signature_bytes(directory: Path, data: bytes) -> tuple[bytes, Signer]:
    """Return the signature of a release and who made it; raises EdgeError if unsigned or wrong."""
    path = directory / SIGNATURE_FILE
    if not path.is_file():
        raise EdgeError(
            f"{directory} is not signed", f"sign it first: ovms-edge release sign {directory} --key KEY"
        )
    signature = path.read_bytes()
    signer = read_signature(data, signature)
    if signer is None:
        raise EdgeError(
            f"{path} is no signature of this manifest",
            f"sign it again: ovms-edge release sign {directory} --key KEY",
        )
    return signature, signer
