"""The depot and its mirrors: OCI registries, read with the standard library.

Protocol: OCI distribution-spec 1.1 (manifests, blobs, Range of RFC 9110). Blobs are content-addressed, so a
file is asked for by the digest in the signed manifest, and it does not matter who sends it.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Sequence
from http.client import HTTPException

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, SIGNATURE_FILE, ReleaseRef
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.link import Response
from ovms_edge.node.pace import Pace
from ovms_edge.node.patience import QUICK_ATTEMPTS, Silence, patiently
from ovms_edge.node.registry import MissingError, Registry
from ovms_edge.node.registry_auth import TransientError
from ovms_edge.node.source import LARGEST_WANTED_BYTES, SignedDocument, Wanted, WrongBytesError
from ovms_edge.node.work import Batch, Work
from ovms_edge.oci import (
    OCI_INDEX,
    OCI_MANIFEST,
    RELEASE_MANIFEST,
    RELEASE_SIGNATURE,
    STATUS_LIST,
    STATUS_TAG,
)

_MANIFEST_TYPES = (
    f"{OCI_MANIFEST}, {OCI_INDEX}, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)
_LARGEST_MANIFEST_BYTES = 64 << 20
_PIECE_BYTES = 256 << 10
_DOCUMENT_PIECE_BYTES = 64 << 10
_PAUSE_SECONDS = 1.0
_LEAVE_SECONDS = 5.0  # for a thread that waits out a pause
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
# What still comes when a transfer is paused, over all connections, and what the rate needs on a long way.
_SMALLEST_BUFFER, _LARGEST_BUFFER, _BUFFER_SECONDS = 32 << 10, 1 << 20, 0.3


class Depot:
    """The registries of a node's configuration, as a ``Source``."""

    def __init__(self, config: NodeConfig, pace: Pace, attempts: int = QUICK_ATTEMPTS) -> None:
        """Take ``attempts`` at a short document before it is given up."""
        self._attempts = attempts
        buffer = _receive_buffer(config)
        self._servers = [Registry(server, buffer) for server in (*config.mirrors, config.depot)]
        self._connections = config.transfer.connections
        self._give_up_seconds = config.transfer.give_up_seconds
        self._pace = pace

    @property
    def names(self) -> tuple[str, ...]:
        """URLs, in the order tried."""
        return tuple(server.url for server in self._servers)

    def signed_manifest(self, ref: ReleaseRef) -> SignedDocument:
        """Fetch manifest and signature of a release; raises EdgeError if it is missing or unsigned."""
        what = (RELEASE_MANIFEST, MANIFEST_FILE, SIGNATURE_FILE)
        return self._signed(self._servers, ref.name, ref.version, what, str(ref), self._attempts)

    def status_list(self, name: str) -> SignedDocument | None:
        """Fetch the status list of a model; None if there is none.

        The depot itself is asked first, since a cache on the way may be behind; not for long, if there is
        one: what answers next is refused if it is older than what was seen.
        """
        what = (STATUS_LIST, "status.json", "status.json.sig")
        *mirrors, depot = self._servers
        shown = f"status list of {name}"
        for servers, attempts in (([depot], 1 if mirrors else self._attempts), (mirrors, self._attempts)):
            try:
                return self._signed(servers, name, STATUS_TAG, what, shown, attempts)
            except MissingError:
                return None
            except TransientError:
                if not mirrors or servers is mirrors:
                    raise
        return None

    def small(self, repository: str, sha256: str) -> bytes:
        """Return a whole blob of at most ``LARGEST_WANTED_BYTES``, verified."""
        silence = Silence(self._give_up_seconds)
        return self._blob(self._servers, repository, f"sha256:{sha256}", LARGEST_WANTED_BYTES, silence)

    def image_manifest(self, repository: str, digest: str) -> bytes:
        """Return the manifest or index ``digest`` of an image, verified."""
        path = f"/v2/{repository}/manifests/{digest}"
        silence = Silence(None, self._attempts)
        return self._whole(
            self._servers, path, repository, _LARGEST_MANIFEST_BYTES, silence, digest, _MANIFEST_TYPES
        )

    def fetch(self, repository: str, wanted: Sequence[Wanted]) -> None:
        """Bring every run of ``wanted`` over a few connections; see ``Source``."""
        work, silence = Work(wanted), Silence(self._give_up_seconds)

        def bring() -> None:
            try:
                while (batch := work.take()) is not None:
                    self._bring(repository, batch, work, silence)
                    work.give_back(batch)
            except _CallerError as error:
                work.fail(error.error)
            except BaseException as error:  # noqa: BLE001  told to the caller of fetch
                work.fail(error)

        threads = [threading.Thread(target=bring, daemon=True) for _ in range(self._connections)]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads) and work.error is None:
                for thread in threads:
                    thread.join(0.1)
        except BaseException as error:
            work.fail(error)
            raise
        finally:
            if work.error is not None:
                for server in self._servers:
                    server.close()
            leave_at = time.monotonic() + _LEAVE_SECONDS
            for thread in threads:
                thread.join(max(0.0, leave_at - time.monotonic()))
        if work.error is not None:
            raise work.error

    def _bring(self, repository: str, batch: Batch, work: Work, silence: Silence) -> None:
        """Have one batch accepted, as far as one request goes; the rest is given back."""
        path = f"/v2/{repository}/blobs/sha256:{batch.sha256}"

        def attempt(server: Registry, fresh: bool) -> None:
            before = len(batch.left)
            headers = {"Range": f"bytes={batch.start}-{batch.end - 1}"} | _freshness(fresh)
            try:
                with server.open(path, repository, headers) as response:
                    if response.status == 206:
                        position = _range_start(response, server, batch.start)
                        work.is_ranged(batch)
                    else:
                        position = 0
                        work.take_all(batch)
                    self._accept(response, server, position, batch, silence, work)
            except (OSError, HTTPException, TransientError) as error:
                if len(batch.left) < before:
                    return  # something came: go on from there at once
                raise error if isinstance(error, EdgeError) else server.unreachable(error) from error

        while batch.left and work.error is None:
            patiently(self._servers, attempt, self._pace, silence, lambda: work.error is not None)

    def _accept(
        self,
        response: Response,
        server: Registry,
        position: int,
        batch: Batch,
        silence: Silence,
        work: Work,
    ) -> None:
        # one for all runs of the answer: memory of threads that is freed is not soon given back
        buffer = memoryview(bytearray(max(_PIECE_BYTES, *(wanted.size for wanted in batch.left))))
        ranged = response.status == 206
        while batch.left and work.error is None and (response.left is None or response.left > 0):
            wanted = batch.left[0]
            if position > wanted.offset:
                return  # a run before what this answer brings
            while position < wanted.offset:
                position += self._read(response, server, buffer[: wanted.offset - position], silence)
            run = buffer[: wanted.size]
            self._fill(response, server, run, silence)
            position += wanted.size
            if not _used(wanted, run):
                raise WrongBytesError(
                    f"depot {server.url} sends other bytes than were published at {wanted.offset} of "
                    f"sha256:{wanted.sha256}",
                    "the depot or the way to it is damaged: publish the release again",
                )
            batch.left.popleft()
        if batch.left and not ranged and work.error is None:
            raise TransientError(
                f"depot {server.url} ended sha256:{batch.sha256} at byte {position}",
                "publish the release again if this stays",
            )

    def _fill(self, response: Response, server: Registry, run: memoryview, silence: Silence) -> None:
        done = 0
        while done < len(run):
            done += self._read(response, server, run[done : done + _PIECE_BYTES], silence)

    def _read(self, response: Response, server: Registry, into: memoryview, silence: Silence) -> int:
        began = time.monotonic()
        allowed = self._pace.take(len(into))
        waited = time.monotonic() - began
        if waited > _PAUSE_SECONDS:
            silence.forgive(waited)
        count = response.readinto(into[:allowed])
        if not count:
            raise TransientError(
                f"depot {server.url} cannot be reached: connection ended early",
                "see whether it runs and whether this host may reach it",
            )
        self._pace.arrived(count)
        silence.broken()
        return count

    def _signed(
        self,
        servers: Sequence[Registry],
        name: str,
        tag: str,
        what: tuple[str, str, str],
        shown: str,
        attempts: int,
    ) -> SignedDocument:
        media_type, file, signature_file = what
        repository, path = f"models/{name}", f"/v2/models/{name}/manifests/{tag}"
        silence = Silence(None, attempts)
        data = self._whole(
            servers, path, repository, _LARGEST_MANIFEST_BYTES, silence, accept=OCI_MANIFEST, what=shown
        )
        try:
            layers = {layer["mediaType"]: str(layer["digest"]) for layer in json.loads(data)["layers"]}
        except (ValueError, KeyError, TypeError) as error:
            raise EdgeError(
                f"{servers[-1].url}{path} is not an OCI manifest",
                "publish the release again with ovms-edge release publish",
            ) from error

        def document(kind: str, named: str) -> bytes:
            if kind not in layers:
                raise EdgeError(
                    f"{shown} in the depot {servers[-1].url} has no {named}",
                    "sign and publish it with ovms-edge release sign and publish",
                )
            silence = Silence(None, attempts)
            return self._blob(servers, repository, layers[kind], _LARGEST_MANIFEST_BYTES, silence)

        return SignedDocument(document(media_type, file), document(RELEASE_SIGNATURE, signature_file))

    def _blob(
        self, servers: Sequence[Registry], repository: str, digest: str, limit: int, silence: Silence
    ) -> bytes:
        path = f"/v2/{repository}/blobs/{digest}"
        return self._whole(servers, path, repository, limit, silence, digest)

    def _whole(
        self,
        servers: Sequence[Registry],
        path: str,
        repository: str,
        limit: int,
        silence: Silence,
        digest: str = "",
        accept: str = "",
        what: str = "",
    ) -> bytes:
        """Return a document of at most ``limit`` bytes, and of this ``digest`` if one is given."""
        found: list[bytes] = []

        def attempt(server: Registry, fresh: bool) -> None:
            headers = ({"Accept": accept} if accept else {}) | _freshness(fresh)
            try:
                with server.open(path, repository, headers, what) as response:
                    data = self._body(response, limit + 1)
            except (OSError, HTTPException) as error:
                raise server.unreachable(error) from error
            if len(data) > limit:
                raise EdgeError(
                    f"{server.url}{path} is larger than {limit} bytes", "publish the release again"
                )
            if digest and f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
                raise WrongBytesError(
                    f"{server.url}{path} does not match its digest",
                    "the depot or the way to it is damaged: publish the release again",
                )
            found.append(data)

        patiently(servers, attempt, self._pace, silence)
        return found[0]

    def _body(self, response: Response, limit: int) -> bytes:
        """Return the body at the pace of all else, ``limit`` bytes of it at most."""
        data, buffer = bytearray(), memoryview(bytearray(_DOCUMENT_PIECE_BYTES))
        while len(data) < limit and response.left != 0:
            size = min(len(buffer), limit - len(data), response.left or len(buffer))
            count = response.readinto(buffer[: self._pace.take(size)])
            if not count:
                if response.left:
                    raise ConnectionResetError(f"connection ended {response.left} bytes early")
                break
            self._pace.arrived(count)
            data += buffer[:count]
        return bytes(data)


def _used(wanted: Wanted, data: memoryview) -> bool:
    """Ask the caller; what its disk raises is no failure of a server."""
    try:
        return wanted.accept(data)
    except OSError as error:
        raise _CallerError(error) from error


class _CallerError(Exception):
    """Carries an OSError of ``accept`` past what reads from connections."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _range_start(response: Response, server: Registry, asked: int) -> int:
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if not match or int(match[1]) != asked:
        raise EdgeError(
            f"depot {server.url} answers another range than asked: "
            f"{response.headers.get('Content-Range', 'none')!r} instead of bytes {asked}-",
            "mend or leave out the proxy or registry that does this",
        )
    return asked


def _freshness(fresh: bool) -> dict[str, str]:
    return {"Cache-Control": "no-cache"} if fresh else {}


def _receive_buffer(config: NodeConfig) -> int | None:
    schedule = config.transfer.schedule
    rates = [rate for rate in (schedule.rate, *(window.rate for window in schedule.windows)) if rate]
    if not rates:
        return None
    size = int(max(rates) * _BUFFER_SECONDS / config.transfer.connections)
    return min(max(size, _SMALLEST_BUFFER), _LARGEST_BUFFER)
