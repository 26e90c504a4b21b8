"""One registry: authorization, redirects, and what its refusals mean.

Protocol: OCI distribution-spec 1.1 and the token authentication of CNCF Distribution.
"""

from __future__ import annotations

import random
import ssl
import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from urllib.parse import urljoin, urlsplit

from ovms_edge.errors import EdgeError
from ovms_edge.node.config import DepotServer
from ovms_edge.node.link import Link, Response
from ovms_edge.node.registry_auth import TRANSIENT_STATUS, Authorizer, TransientError, credentials_for

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_LARGEST_ERROR_BYTES = 64 << 10
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 60.0
_LONGEST_RETRY_AFTER_SECONDS = 3600.0


class Registry:
    """``open`` and ``failed`` may be called from several threads."""

    def __init__(self, server: DepotServer, receive_buffer: int | None = None) -> None:
        self.url = server.url
        self._link = Link(server.ca_file, receive_buffer)
        credentials = credentials_for(urlsplit(server.url).netloc, server.credentials_file)
        self._authorizer = Authorizer(server.url, credentials, self._link.get)
        self._redirected: dict[str, str] = {}
        self._failures = 0
        self._failed_at = 0.0
        self.ready_at = 0.0  # of the monotonic clock: not asked before, if another can be

    def open(self, path: str, repository: str, headers: dict[str, str], what: str = "") -> Response:
        """GET ``path``, which is (of) ``what``; returns an answer with status 200 or 206.

        Raises TransientError if another attempt may help, else EdgeError.
        """
        try:
            return self._open(path, repository, headers, what or repository)
        except (OSError, HTTPException) as error:
            raise self.unreachable(error) from error

    def close(self) -> None:
        """Cut every connection."""
        self._link.close()

    def answered(self) -> None:
        """Forget failures: bytes came."""
        self._failures = 0
        self.ready_at = 0.0

    def failed(self, began: float, retry_after: float) -> float:
        """Count a failed attempt that ``began`` at a time of the monotonic clock; returns seconds to wait.

        Attempts side by side that fail together count once.
        """
        now = time.monotonic()
        if began >= self._failed_at:
            self._failures += 1
        self._failed_at = now
        delay = min(_FIRST_DELAY_SECONDS * 2.0 ** min(self._failures - 1, 10), _LONGEST_DELAY_SECONDS)
        # jitter: a thousand stores must not come back in the same second
        delay = max(delay * random.uniform(0.5, 1.0), min(retry_after, _LONGEST_RETRY_AFTER_SECONDS))  # noqa: S311
        self.ready_at = now + delay
        return delay

    def unreachable(self, error: OSError | HTTPException) -> EdgeError:
        """Return what a broken or refused connection means."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return EdgeError(
                f"certificate of depot {self.url} is not trusted: {error.verify_message}",
                "put the authority that signed it into the inventory (node_agent_depot_ca)",
            )
        return TransientError(
            f"depot {self.url} cannot be reached: {error or type(error).__name__}",
            "see whether it runs and whether this host may reach it",
        )

    def _open(self, path: str, repository: str, headers: dict[str, str], what: str) -> Response:
        known = self._redirected.get(path)
        if known:
            response = self._link.get(known, headers)
            if response.status in (200, 206):
                return response
            with response:
                _drain(response)
            del self._redirected[path]  # a signed URL holds for minutes: ask for another
        url, scope = self.url + path, f"repository:{repository}:pull"
        response = self._link.get(url, headers | self._authorizer.headers(scope))
        if response.status == 401:
            with response:
                _drain(response)
                challenge = response.headers.get("WWW-Authenticate", "")
            response = self._link.get(url, headers | self._authorizer.answer(challenge, scope))
        return self._followed(path, url, repository, headers, what, response)

    def _followed(
        self, path: str, url: str, repository: str, headers: dict[str, str], what: str, response: Response
    ) -> Response:
        """Follow redirects. Registries redirect to object stores: credentials stay with the registry."""
        for _ in range(_MOST_REDIRECTS):
            if response.status in (200, 206):
                if url != self.url + path:
                    self._redirected[path] = url
                return response
            with response:
                _drain(response)
            if response.status not in _REDIRECTS or "Location" not in response.headers:
                raise self._refused(response, url, what)
            target = urljoin(url, response.headers["Location"])
            old, new = urlsplit(url), urlsplit(target)
            if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme != "https"):
                raise EdgeError(
                    f"depot {old.netloc} redirects to {new.scheme}://{new.netloc}",
                    "let it redirect to https only",
                )
            url = target
            same = (new.scheme, new.netloc) == tuple(urlsplit(self.url)[:2])
            known = self._authorizer.headers(f"repository:{repository}:pull") if same else {}
            response = self._link.get(url, headers | known)
        response.__exit__(None, None, None)
        raise EdgeError(f"depot {self.url} redirects in a circle", "see the log of the registry")

    def _refused(self, response: Response, url: str, what: str) -> EdgeError:
        status, answering = response.status, urlsplit(url)
        place = f"{answering.scheme}://{answering.netloc}"
        if status in TRANSIENT_STATUS:
            return TransientError(
                f"depot {place} answers {status}",
                "see the log of the registry",
                _seconds(response.headers.get("Retry-After", "")),
            )
        if place != self.url:  # its query can hold a signature that works like a password
            return EdgeError(
                f"depot {self.url} redirects to {place}, which answers {status}", "see the log of both"
            )
        if status in (401, 403):
            return EdgeError(
                f"depot {self.url} refuses {self._authorizer.who} ({status})",
                "check user and password of the registry in the inventory (docker_engine_registries)",
            )
        if status == 404:
            return MissingError(
                f"depot {self.url} has no {what}, or not all of it ({answering.path})",
                "check name and version, or publish it with ovms-edge release publish",
            )
        return EdgeError(
            f"depot {self.url} answers {status} to {answering.path}", "see the log of the registry"
        )


class MissingError(EdgeError):
    """The registry does not have it."""


def _drain(response: Response) -> None:
    """Read a short body, so that the connection can be used again."""
    response.read(_LARGEST_ERROR_BYTES)


def _seconds(retry_after: str) -> float:
    """Return what a Retry-After header says, seconds or a date (RFC 9110, 10.2.3); 0 for none."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
