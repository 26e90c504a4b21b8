"""The status list of a model: which of its releases were withdrawn, which have to stay. Pure.

Standard library only: the node tool reads it too. The format is described in docs/contracts.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef

SCHEMA = "ovms-edge.status/1"
STATUS_FILE = "status.json"
STATUS_SIGNATURE_FILE = "status.json.sig"


@dataclass(frozen=True)
class Revocation:
    """A withdrawn release; ``at`` in UTC, RFC 3339."""

    version: str
    reason: str
    at: str


@dataclass(frozen=True)
class StatusList:
    """``serial`` grows by one with each list of a name; 0: none was published yet."""

    name: str
    serial: int = 0
    issued: str = ""
    revoked: tuple[Revocation, ...] = ()
    pinned: tuple[str, ...] = ()

    def revocation(self, version: str) -> Revocation | None:
        """Return why ``version`` was withdrawn, None if it was not."""
        return next((entry for entry in self.revoked if entry.version == version), None)

    def revoking(self, version: str, reason: str, at: str) -> StatusList:
        """Return the list with ``version`` withdrawn; itself if it is."""
        if self.revocation(version):
            return self
        entries = (*self.revoked, Revocation(version, reason, at))
        return replace(self, revoked=tuple(sorted(entries, key=lambda entry: entry.version)))

    def pinning(self, version: str, *, pinned: bool) -> StatusList:
        """Return the list with ``version`` pinned, or not."""
        versions = {*self.pinned, version} if pinned else set(self.pinned) - {version}
        return replace(self, pinned=tuple(sorted(versions)))

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, UTF-8, one newline at the end. This is what is signed."""
        document = {"schema": SCHEMA, **asdict(self)}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> StatusList:
        """Read a status list; raises EdgeError if anything in it is not as the contract says."""
        try:
            document: dict[str, Any] = json.loads(data)
            schema = document.pop("schema")
            if schema != SCHEMA:
                raise ValueError(f"schema {schema!r}, this version reads {SCHEMA!r}")
            revoked = tuple(Revocation(**entry) for entry in document.pop("revoked"))
            pinned = tuple(document.pop("pinned"))
            status = cls(revoked=revoked, pinned=pinned, **document)
            for version in (*(entry.version for entry in revoked), *pinned):
                ReleaseRef.parse(f"{status.name}@{version}")
            texts = (status.issued, *(text for entry in revoked for text in (entry.reason, entry.at)))
            if not all(isinstance(text, str) for text in texts):
                raise ValueError("issued, reason and at are texts")
            if not isinstance(status.serial, int) or isinstance(status.serial, bool) or status.serial < 1:
                raise ValueError(f"serial {status.serial!r}")
        except (ValueError, TypeError, KeyError, AttributeError, EdgeError) as error:
            raise EdgeError(
                f"status list not readable: {error}", "issue it again with ovms-edge release revoke or pin"
            ) from error
        return status
