"""The releases of a model that a depot has."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, Manifest, ReleaseRef
from ovms_edge.oci import STATUS_TAG
from ovms_edge.release.artifact import read_layers
from ovms_edge.release.depot import Depot
from ovms_edge.release.inspect import MAX_MANIFEST_BYTES, human_bytes
from ovms_edge.release.status import read_status


@dataclass(frozen=True)
class Listed:
    """One version; ``reason`` says why it was revoked, or what is wrong with it."""

    version: str
    created: str
    bytes: int
    state: str  # "", pinned, revoked or unreadable
    reason: str


def list_releases(depot: Depot, name: str) -> list[Listed]:
    """Return the releases called ``name``, oldest first; raises EdgeError."""
    status = read_status(depot, name)
    found = []
    for version in depot.tags(name):
        if version == STATUS_TAG:
            continue
        try:
            manifest = _manifest(depot, ReleaseRef(name, version))
        except EdgeError as error:
            found.append(Listed(version, "", 0, "unreadable", error.reason))
            continue
        revoked = status.revocation(version)
        state = "revoked" if revoked else "pinned" if version in status.pinned else ""
        reason = revoked.reason if revoked else ""
        found.append(Listed(version, manifest.created, manifest.total_bytes, state, reason))
    return sorted(found, key=lambda entry: (entry.created, entry.version))


def to_json(found: list[Listed]) -> str:
    """Return the document of ``release list --json``."""
    return json.dumps({"releases": [asdict(entry) for entry in found]}, indent=2) + "\n"


def to_text(found: list[Listed]) -> str:
    """Return aligned lines for people."""
    if not found:
        return "no releases\n"
    width = max(len(entry.version) for entry in found)
    lines = [
        f"{entry.version:<{width}}  {entry.created:<20}  {human_bytes(entry.bytes):>10}  "
        f"{entry.state}{f': {entry.reason}' if entry.reason else ''}".rstrip()
        for entry in found
    ]
    return "\n".join(lines) + "\n"


def _manifest(depot: Depot, ref: ReleaseRef) -> Manifest:
    data = depot.get_manifest(ref)
    layers = read_layers(data) if data else {}
    if MANIFEST_FILE not in layers:
        raise EdgeError(f"{ref} is no release", "publish it again")
    return Manifest.from_bytes(depot.get_blob(ref, layers[MANIFEST_FILE], MAX_MANIFEST_BYTES))
