"""The depot: an OCI registry, read with the standard library.

Protocol: OCI distribution-spec 1.1 (manifests, blobs, Range) and the token authentication of CNCF
Distribution. Blobs are content-addressed, so a file is asked for by the digest in the signed manifest.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, SIGNATURE_FILE, ReleaseRef
from ovms_edge.node.output import log
from ovms_edge.node.registry_auth import TRANSIENT_STATUS, Authorizer, TransientError, credentials_for
from ovms_edge.oci import OCI_MANIFEST, RELEASE_MANIFEST, RELEASE_SIGNATURE

_RETRY_DELAYS = (0.5, 1.0, 2.0)
_TIMEOUT_SECONDS = 60
_CHUNK_BYTES = 1 << 18
_LARGEST_MANIFEST_BYTES = 64 << 20
_LARGEST_SIGNATURE_BYTES = 64 << 10
_T = TypeVar("_T")


@dataclass(frozen=True)
class SignedManifest:
    """The bytes of ``manifest.json`` and of its signature, as the depot holds them; nothing checked yet."""

    manifest: bytes
    signature: bytes


class Depot:
    """One registry at ``url``; ``ca_file`` is trusted instead of the system's authorities."""

    def __init__(self, url: str, ca_file: Path | None, credentials_file: Path | None) -> None:
        self._url = url
        host = urlsplit(url).netloc
        self._authorizer = Authorizer(url, credentials_for(host, credentials_file), self._send)
        self._opener = build_opener(
            ProxyHandler(), HTTPHandler(), HTTPSHandler(context=_tls(ca_file)), _Redirects()
        )

    def signed_manifest(self, ref: ReleaseRef) -> SignedManifest:
        """Fetch manifest and signature of a release; raises EdgeError if it is missing or unsigned."""
        path = f"/v2/models/{ref.name}/manifests/{ref.version}"
        data = self._retry(lambda: self._small(path, ref, _LARGEST_MANIFEST_BYTES, {"Accept": OCI_MANIFEST}))
        try:
            layers = {layer["mediaType"]: str(layer["digest"]) for layer in json.loads(data)["layers"]}
        except (ValueError, KeyError, TypeError) as error:
            raise EdgeError(
                f"{self._url}{path} is not an OCI manifest",
                "publish the release again with ovms-edge release publish",
            ) from error
        return SignedManifest(
            self._layer(ref, layers, RELEASE_MANIFEST, MANIFEST_FILE, _LARGEST_MANIFEST_BYTES),
            self._layer(ref, layers, RELEASE_SIGNATURE, SIGNATURE_FILE, _LARGEST_SIGNATURE_BYTES),
        )

    def blob(self, ref: ReleaseRef, sha256: str, offset: int, size: int) -> Iterator[bytes]:
        """Yield the bytes of a blob of ``size`` bytes from ``offset`` on.

        A broken connection is taken up where it broke, as long as each attempt brings something. The caller
        checks the digest. Raises EdgeError if the depot does not have the blob or sends too much.
        """
        path = f"/v2/models/{ref.name}/blobs/sha256:{sha256}"
        failures = 0
        while offset < size:
            try:
                with self._open_range(path, ref, offset) as response:
                    while chunk := response.read(_CHUNK_BYTES):
                        offset += len(chunk)
                        failures = 0
                        if offset > size:
                            raise EdgeError(
                                f"the depot sends more than {size} bytes for sha256:{sha256}",
                                "the depot is damaged: publish the release again",
                            )
                        yield chunk
                if offset < size:
                    raise ConnectionResetError(f"connection ended at byte {offset} of {size}")
            except TransientError as error:
                failures = self._pause(failures, error)
            except (OSError, HTTPException) as error:
                failures = self._pause(failures, self._unreachable(error))

    def _layer(
        self, ref: ReleaseRef, layers: dict[str, str], media_type: str, name: str, limit: int
    ) -> bytes:
        digest = layers.get(media_type)
        if digest is None:
            raise EdgeError(
                f"{ref} in the depot {self._url} has no {name}",
                "sign and publish it with ovms-edge release sign and publish",
            )
        path = f"/v2/models/{ref.name}/blobs/{digest}"
        data = self._retry(lambda: self._small(path, ref, limit, {}))
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise EdgeError(
                f"{name} of {ref} does not match its digest in the depot",
                "the depot is damaged: publish the release again",
            )
        return data

    def _small(self, path: str, ref: ReleaseRef, limit: int, headers: dict[str, str]) -> bytes:
        with self._open(path, ref, headers) as response:
            data: bytes = response.read(limit + 1)
            if len(data) <= limit and response.length:  # read(n) says nothing of a connection that broke
                raise ConnectionResetError(f"connection ended {response.length} bytes early")
        if len(data) > limit:
            raise EdgeError(f"{self._url}{path} is larger than {limit} bytes", "publish the release again")
        return data

    def _open_range(self, path: str, ref: ReleaseRef, offset: int) -> HTTPResponse:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        response = self._open(path, ref, headers)
        if offset and response.status != 206:
            # a server without Range starts over: skip what is there already
            while offset > 0 and (skipped := response.read(min(offset, _CHUNK_BYTES))):
                offset -= len(skipped)
        return response

    def _open(self, path: str, ref: ReleaseRef, headers: dict[str, str]) -> HTTPResponse:
        """Send with what authorization is known; once more after a challenge."""
        url, scope = self._url + path, f"repository:models/{ref.name}:pull"
        try:
            return self._send(url, headers | self._authorizer.headers(scope))
        except HTTPError as error:
            if error.code != 401:
                raise self._refused(error, ref) from error
            challenge = error.headers.get("WWW-Authenticate", "")
        try:
            return self._send(url, headers | self._authorizer.answer(challenge, scope))
        except HTTPError as error:
            raise self._refused(error, ref) from error

    def _send(self, url: str, headers: dict[str, str]) -> HTTPResponse:
        response: HTTPResponse = self._opener.open(Request(url, headers=headers), timeout=_TIMEOUT_SECONDS)  # noqa: S310
        return response

    def _refused(self, error: HTTPError, ref: ReleaseRef) -> EdgeError:
        answering = urlsplit(error.url)
        place = f"{answering.scheme}://{answering.netloc}"
        if error.code in TRANSIENT_STATUS:
            return TransientError(f"depot {place} answers {error.code}", "see the log of the registry")
        if place != self._url:  # its query can hold a signature that works like a password
            return EdgeError(
                f"depot {self._url} redirects to {place}, which answers {error.code}",
                "see the log of both",
            )
        if error.code in (401, 403):
            return EdgeError(
                f"depot {self._url} refuses {self._authorizer.who} ({error.code})",
                "check user and password of the registry in the inventory (docker_engine_registries)",
            )
        if error.code == 404:
            return EdgeError(
                f"depot {self._url} has no {ref}, or not all of it ({urlsplit(error.url).path})",
                "check name and version, or publish it with ovms-edge release publish",
            )
        return EdgeError(
            f"depot {self._url} answers {error.code} to {answering.path}", "see the log of the registry"
        )

    def _retry(self, action: Callable[[], _T]) -> _T:
        failures = 0
        while True:
            try:
                return action()
            except TransientError as error:
                failures = self._pause(failures, error)
            except (OSError, HTTPException) as error:
                failures = self._pause(failures, self._unreachable(error))

    def _pause(self, failures: int, error: EdgeError) -> int:
        """Wait before the next attempt, or give up."""
        if failures >= len(_RETRY_DELAYS) or not isinstance(error, TransientError):
            raise error
        log(f"{error.reason}; trying again in {_RETRY_DELAYS[failures]:g} s")
        time.sleep(_RETRY_DELAYS[failures])
        return failures + 1

    def _unreachable(self, error: OSError | HTTPException) -> EdgeError:
        cause = error.reason if isinstance(error, URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            return EdgeError(
                f"certificate of depot {self._url} is not trusted: {cause.verify_message}",
                "put the authority that signed it into the inventory (node_agent_depot_ca)",
            )
        return TransientError(
            f"depot {self._url} cannot be reached: {cause or type(cause).__name__}",
            "see whether it runs and whether this host may reach it",
        )


class _Redirects(HTTPRedirectHandler):
    """Registries redirect blobs to object stores: credentials stay with the registry."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        target = urljoin(req.full_url, newurl)
        old, new = urlsplit(req.full_url), urlsplit(target)
        if old.scheme == "https" and new.scheme != "https":
            raise EdgeError(
                f"depot {old.netloc} redirects to {new.scheme}://{new.netloc}",
                "let it redirect to https only",
            )
        redirected = super().redirect_request(req, fp, code, msg, headers, newurl)
        if redirected is not None and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            redirected.remove_header("Authorization")
        return redirected


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise EdgeError(
            f"depot CA {ca_file} is not readable: {error}",
            "put the PEM text of the authority into the inventory (node_agent_depot_ca)",
        ) from error
