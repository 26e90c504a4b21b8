"""The upload of one large blob, which goes on where the registry has it.

OCI distribution-spec 1.1, "Pushing a blob in chunks": POST, PATCH with the bytes, PUT with the digest; GET
says how far the registry is. CNCF Distribution answers that since 3.0 (registry/handlers/blobupload.go); 2.8
forgets an upload whose PATCH was cut, and then it begins anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin

import requests

from ovms_edge.release.artifact import Blob
from ovms_edge.release.durable import write_atomically
from ovms_edge.release.refusals import TransientError
from ovms_edge.release.transport import Stream, Transport

CREATED, ACCEPTED, NO_CONTENT = 201, 202, 204
_BAD_REQUEST, _NOT_FOUND, _RANGE_INVALID = 400, 404, 416
_FORGOTTEN = (_BAD_REQUEST, _NOT_FOUND, _RANGE_INVALID)
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")


def completion_url(location: str, digest: str) -> str:
    """Return where PUT ends the upload at ``location``."""
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"


class FileContent(Protocol):
    """What is uploaded."""

    def open(self, offset: int = 0) -> Stream:
        """Return the bytes from ``offset``."""


class UploadNote:
    """Where the upload under way goes on, kept beside the release for a publish that was killed.

    A note that cannot be written or read only costs a new start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def location(self, url: str, digest: str) -> str:
        """Return where the upload of ``digest`` to the depot ``url`` goes on; empty for none."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            document = json.loads(self._path.read_bytes())
            if (document["depot"], document["digest"]) == (url, digest):
                return str(document["location"])
        return ""

    def keep(self, url: str, digest: str, location: str) -> None:
        """Note it."""
        document = {"depot": url, "digest": digest, "location": location}
        with suppress(OSError):
            write_atomically(self._path, json.dumps(document).encode())

    def forget(self) -> None:
        """Remove it: the upload is over."""
        with suppress(OSError):
            self._path.unlink()


class Upload:
    """One blob on its way to ``begin_url``, which POST takes."""

    def __init__(
        self, transport: Transport, begin_url: str, blob: Blob, content: FileContent, note: UploadNote
    ) -> None:
        self._transport, self._begin_url = transport, begin_url
        self._blob, self._content, self._note = blob, content, note
        self._location = note.location(transport.url, blob.digest)
        self._confirmed = 0

    def run(self) -> None:
        """Upload; raises EdgeError. Attempts that brought bytes across do not count as failed."""
        self._transport.retry(self._attempt, lambda: self._confirmed)
        self._note.forget()

    def _attempt(self) -> None:
        offset = self._offset() if self._location else 0
        resumed = bool(self._location)
        if not resumed:
            self._moved_to(self._transport.send("POST", self._begin_url, (ACCEPTED,)))
            self._note.keep(self._transport.url, self._blob.digest, self._location)
        if offset < self._blob.size:
            self._patch(offset, resumed)
        self._finish(resumed)

    def _offset(self) -> int:
        """Return how many bytes the registry has; it may have forgotten the upload."""
        answer = self._transport.send("GET", self._location, (NO_CONTENT, *_FORGOTTEN))
        found = _RANGE.fullmatch(answer.headers.get("Range", ""))
        offset = int(found[1]) + 1 if found and int(found[1]) else 0  # 0-0 is what nothing looks like
        if answer.status_code != NO_CONTENT or offset > self._blob.size:
            self._location = ""
            return 0
        self._moved_to(answer)
        self._confirmed = max(self._confirmed, offset)
        return offset

    def _patch(self, offset: int, resumed: bool) -> None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{offset}-{self._blob.size - 1}",
        }
        ok = (ACCEPTED, *(_FORGOTTEN if resumed else ()))
        body: Callable[[], Stream] = partial(self._content.open, offset)
        answer = self._transport.send("PATCH", self._location, ok, headers, body)
        if answer.status_code != ACCEPTED:
            raise self._anew(f"does not go on at byte {offset}")
        self._confirmed = self._blob.size
        self._moved_to(answer)

    def _finish(self, resumed: bool) -> None:
        url = completion_url(self._location, self._blob.digest)
        ok = (CREATED, *(_FORGOTTEN if resumed else ()))
        if self._transport.send("PUT", url, ok, body=b"").status_code != CREATED:
            raise self._anew("does not have what was sent")

    def _anew(self, what: str) -> TransientError:
        self._location = ""
        return TransientError(
            f"depot {self._transport.url} {what} of {self._blob.path}: sent from its start",
            "see the registry's log, and its disk",
        )

    def _moved_to(self, answer: requests.Response) -> None:
        self._location = urljoin(answer.url, answer.headers.get("Location", self._location))
