"""Releases and images from a directory, such as a USB stick: an OCI image layout.

Layout: OCI image-spec 1.1, image-layout.md. It is believed no more than a depot is: signatures and digests
are checked all the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, SIGNATURE_FILE, ReleaseRef
from ovms_edge.node.source import LARGEST_WANTED_BYTES, SignedDocument, Wanted, WrongBytesError
from ovms_edge.oci import (
    LAYOUT_FILE,
    LAYOUT_INDEX,
    REF_NAME,
    RELEASE_MANIFEST,
    RELEASE_SIGNATURE,
    STATUS_LIST,
    STATUS_TAG,
)
from ovms_edge.status_list import STATUS_FILE, STATUS_SIGNATURE_FILE

_LARGEST_DOCUMENT_BYTES = 64 << 20
_REMEDY = "write the bundle again with ovms-edge release export-bundle"


class Bundle:
    """The layout in ``directory``, as a ``Source``."""

    def __init__(self, directory: Path) -> None:
        """Read its index; raises EdgeError if there is no layout."""
        self._directory = directory
        if not (directory / LAYOUT_FILE).is_file():
            raise EdgeError(f"{directory} is no bundle: it has no {LAYOUT_FILE}", _REMEDY)
        try:
            entries = json.loads((directory / LAYOUT_INDEX).read_bytes())["manifests"]
            self._named = {
                str(entry["annotations"][REF_NAME]): str(entry["digest"])
                for entry in entries
                if REF_NAME in entry.get("annotations", {})
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise EdgeError(f"{directory / LAYOUT_INDEX} is not readable: {error}", _REMEDY) from error

    @property
    def names(self) -> tuple[str, ...]:
        """The directory."""
        return (str(self._directory),)

    def signed_manifest(self, ref: ReleaseRef) -> SignedDocument:
        """Return ``manifest.json`` of a release and its signature; raises EdgeError if it is not in it."""
        named = f"models/{ref.name}:{ref.version}"
        if named not in self._named:
            held = ", ".join(sorted(self._named)) or "nothing"
            raise EdgeError(f"bundle {self._directory} has no {ref}; it has {held}", _REMEDY)
        return self._signed(named, (RELEASE_MANIFEST, MANIFEST_FILE), SIGNATURE_FILE)

    def status_list(self, name: str) -> SignedDocument | None:
        """Return the status list as it was when the bundle was written; None if there was none."""
        named = f"models/{name}:{STATUS_TAG}"
        if named not in self._named:
            return None
        return self._signed(named, (STATUS_LIST, STATUS_FILE), STATUS_SIGNATURE_FILE)

    def small(self, repository: str, sha256: str) -> bytes:  # noqa: ARG002  all blobs are in one place
        """Return a whole blob of at most ``LARGEST_WANTED_BYTES``, verified."""
        return self._verified(f"sha256:{sha256}", LARGEST_WANTED_BYTES)

    def fetch(self, repository: str, wanted: Sequence[Wanted]) -> None:  # noqa: ARG002
        """Have each of ``wanted`` accepted; raises WrongBytesError for what is damaged."""
        for run in wanted:
            path = self._blob(f"sha256:{run.sha256}")
            try:
                with path.open("rb") as stream:
                    stream.seek(run.offset)
                    data = stream.read(run.size)
            except OSError as error:
                raise self._unreadable(path, error) from error
            if len(data) != run.size or not run.accept(data):
                raise WrongBytesError(f"{path} is damaged at {run.offset}", _REMEDY)

    def image_manifest(self, repository: str, digest: str) -> bytes:  # noqa: ARG002
        """Return the manifest or index ``digest`` of an image, verified."""
        return self._verified(digest, _LARGEST_DOCUMENT_BYTES)

    def _signed(self, named: str, document: tuple[str, str], signature_file: str) -> SignedDocument:
        data = self._verified(self._named[named], _LARGEST_DOCUMENT_BYTES)
        kind, file = document
        try:
            layers: dict[str, Any] = {
                entry["mediaType"]: entry["digest"] for entry in json.loads(data)["layers"]
            }
            digests = [str(layers[kind]), str(layers[RELEASE_SIGNATURE])]
        except (ValueError, KeyError, TypeError) as error:
            raise EdgeError(
                f"{named} in bundle {self._directory} has no {file} or no {signature_file}", _REMEDY
            ) from error
        return SignedDocument(*(self._verified(digest, _LARGEST_DOCUMENT_BYTES) for digest in digests))

    def _verified(self, digest: str, limit: int) -> bytes:
        path = self._blob(digest)
        try:
            with path.open("rb") as stream:
                data = stream.read(limit + 1)
        except OSError as error:
            raise self._unreadable(path, error) from error
        if len(data) > limit or f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise WrongBytesError(f"{path} is damaged", _REMEDY)
        return data

    def _blob(self, digest: str) -> Path:
        algorithm, _, name = digest.partition(":")
        if algorithm != "sha256" or not name.isalnum():
            raise EdgeError(f"bundle {self._directory} names a blob {digest!r}", _REMEDY)
        return self._directory / "blobs" / algorithm / name

    def _unreadable(self, path: Path, error: OSError) -> EdgeError:
        return EdgeError(f"{path} cannot be read: {error.strerror}", _REMEDY)
