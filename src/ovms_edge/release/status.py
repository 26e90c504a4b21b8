"""The status list of a model in a depot: read, and followed by the next one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.oci import OCI_MANIFEST, RELEASE_SIGNATURE, STATUS_LIST, STATUS_TAG
from ovms_edge.release.artifact import FILEPATH, Blob, sha256_digest
from ovms_edge.release.depot import Depot
from ovms_edge.release.sshsig import find_principal, make_signature, read_signature
from ovms_edge.status_list import STATUS_FILE, STATUS_SIGNATURE_FILE, StatusList

# OCI image-spec 1.1, manifest.md: the empty descriptor, for artifacts without a config.
_EMPTY = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_LARGEST_BYTES = 4 << 20


@dataclass(frozen=True)
class Issued:
    """The list now in the depot; ``new`` is False if it was there already."""

    status: StatusList
    new: bool


def read_status(depot: Depot, name: str, allowed_signers: Path | None = None) -> StatusList:
    """Return the status list of ``name``, serial 0 if there is none.

    Its signature has to hold; with ``allowed_signers`` it has to be of one of them. Raises EdgeError.
    """
    ref = ReleaseRef(name, STATUS_TAG)
    data = depot.get_manifest(ref)
    if data is None:
        return StatusList(name)
    try:
        layers = {entry["mediaType"]: entry for entry in json.loads(data)["layers"]}
        blobs = [
            Blob(kind, str(layers[kind]["digest"]), int(layers[kind]["size"]), path)
            for kind, path in ((STATUS_LIST, STATUS_FILE), (RELEASE_SIGNATURE, STATUS_SIGNATURE_FILE))
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise EdgeError(
            f"depot {depot.url} has something else under the tag {STATUS_TAG} of {name}", "remove that tag"
        ) from error
    content, signature = (depot.get_blob(ref, blob, _LARGEST_BYTES) for blob in blobs)
    if read_signature(content, signature) is None:
        raise EdgeError(f"the signature of the status list of {name} does not hold", "see who writes there")
    if allowed_signers and find_principal(content, signature, allowed_signers) is None:
        raise EdgeError(
            f"the status list of {name} is signed by nobody in {allowed_signers}", "see who writes there"
        )
    status = StatusList.from_bytes(content)
    if status.name != name:
        raise EdgeError(f"the status list of {name} is that of {status.name}", "see who writes there")
    return status


def change_status(depot: Depot, name: str, key: Path, change: Callable[[StatusList], StatusList]) -> Issued:
    """Sign and publish the list that ``change`` makes of the present one; nothing if it is the same.

    A registry has no compare-and-swap: of two that change it at once one may win, so what was published
    is read back, and the loser gets an error.
    """
    before = read_status(depot, name)
    after = change(before)
    if after == before:
        return Issued(before, new=False)
    after = replace(after, serial=before.serial + 1, issued=utc_now())
    data = after.to_bytes()
    signature = make_signature(data, key)
    ref = ReleaseRef(name, STATUS_TAG)
    layers = [
        Blob(kind, sha256_digest(content), len(content), path)
        for kind, path, content in (
            (STATUS_LIST, STATUS_FILE, data),
            (RELEASE_SIGNATURE, STATUS_SIGNATURE_FILE, signature),
        )
    ]
    config = Blob(_EMPTY_TYPE, sha256_digest(_EMPTY), len(_EMPTY))
    for blob, content in zip((*layers, config), (data, signature, _EMPTY), strict=True):
        depot.push_bytes(ref, blob, content)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": STATUS_LIST,
        "config": config.descriptor(),
        "layers": [{**blob.descriptor(), "annotations": {FILEPATH: blob.path}} for blob in layers],
    }
    depot.put_manifest(ref, json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
    return Issued(after, new=True)


def revoke_release(depot: Depot, ref: ReleaseRef, reason: str, key: Path) -> str:
    """Withdraw a release: no node stages or activates it; returns what came of it. Raises EdgeError."""
    issued = change_status(
        depot, ref.name, key, lambda status: status.revoking(ref.version, reason, utc_now())
    )
    entry = issued.status.revocation(ref.version)
    state = "revoked" if issued.new else "already revoked"
    return f"{ref} {state}: {entry.reason if entry else ''}, serial {issued.status.serial}"


def utc_now() -> str:
    """Return the time, RFC 3339 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
