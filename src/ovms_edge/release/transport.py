"""HTTP to a registry: TLS trust, Basic and bearer-token login, retries, errors that say what to do."""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from ovms_edge.errors import EdgeError
from ovms_edge.oci import Credentials, checked_depot_url, is_loopback
from ovms_edge.release.refusals import TransientError, connection_error, host_of, refusal, tls_error

CONNECT_SECONDS = 30
ANSWER_SECONDS = 300  # a registry hashes and moves gigabytes before it answers an upload
MAX_PAUSE_SECONDS = 30.0

log = logging.getLogger(__name__)
T = TypeVar("T")


class Stream(Protocol):
    """Bytes on their way, with a length that ``len`` tells."""

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most ``size``."""

    def close(self) -> None:
        """Free what reading took."""


# Bytes to send, opened again at each attempt.
Body = Callable[[], Stream]


class Transport:
    """One registry. ``url`` is https, or http on this machine only, as Docker has it."""

    pauses_seconds = (1.0, 2.0, 4.0)

    def __init__(self, url: str, ca_file: Path | None, credentials: Credentials | None) -> None:
        """``ca_file`` None: the system's CAs; raises UsageError for a URL that is none of a depot."""
        self.url = checked_depot_url(url)
        self.host = urlsplit(self.url).netloc
        _check_ca(ca_file)
        self._ca_file = ca_file
        self._credentials = credentials
        self._authorization: str | None = None
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "ovms-edge"

    def retry(self, operation: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
        """Run ``operation``, again after a pause if it fails in a way that may pass.

        Attempts are counted anew whenever ``progress`` has grown.
        """
        failures, reached = 0, progress()
        while True:
            try:
                return operation()
            except TransientError as error:
                if progress() > reached:
                    failures, reached = 0, progress()
                if failures == len(self.pauses_seconds):
                    raise
                seconds = min(max(self.pauses_seconds[failures], error.pause_seconds), MAX_PAUSE_SECONDS)
                failures += 1
                log.warning("%s; trying again in %g s", error.reason, seconds)
                time.sleep(seconds)

    def send(
        self,
        method: str,
        url: str,
        ok: tuple[int, ...],
        headers: dict[str, str] | None = None,
        body: bytes | Body | None = None,
    ) -> requests.Response:
        """Return the answer, read to its end, if its status is one of ``ok``; raises EdgeError otherwise.

        Logs in when the registry asks for it.
        """
        response = self._exchange(method, url, headers, body)
        if (
            response.status_code == requests.codes.unauthorized
            and self._own(response.url)
            and self._log_in(response)
        ):
            response = self._exchange(method, url, headers, body)
        if response.status_code in ok:
            return response
        raise refusal(response, self.host, self._credentials)

    def _exchange(
        self, method: str, url: str, headers: dict[str, str] | None, body: bytes | Body | None
    ) -> requests.Response:
        own = self._own(url)
        if own or url.startswith("https://"):
            authorization = self._authorization if own else None
            return self._request(method, url, headers, body, authorization)
        raise EdgeError(
            f"depot {self.host} sends uploads to {host_of(url)} without TLS",
            "set http.host in the registry's configuration, or X-Forwarded-Proto in the proxy before it",
        )

    def _own(self, url: str) -> bool:
        """Whether the registry itself is asked: only it gets to see a password, and may ask for one."""
        return urlsplit(url)[:2] == urlsplit(self.url)[:2]

    def _request(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None,
        body: bytes | Body | None,
        authorization: str | None,
    ) -> requests.Response:
        data = body if body is None or isinstance(body, bytes) else body()
        try:
            return self._session.request(
                method,
                url,
                headers=headers,
                data=data,
                auth=_Authorization(authorization),
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                # Given here, since REQUESTS_CA_BUNDLE would win over the session's.
                verify=str(self._ca_file) if self._ca_file else True,
                allow_redirects=method in ("GET", "HEAD"),
            )
        except requests.exceptions.SSLError as error:
            raise tls_error(host_of(url), str(error)) from error
        except requests.exceptions.RequestException as error:
            raise connection_error(host_of(url), error) from error
        finally:
            if data is not None and not isinstance(data, bytes):
                data.close()

    def _log_in(self, response: requests.Response) -> bool:
        """Prepare the Authorization that the registry asks for; False if there is nothing new to try."""
        challenge = response.headers.get("WWW-Authenticate", "")
        kind, _, rest = challenge.partition(" ")
        before = self._authorization
        if kind.lower() == "bearer":
            self._authorization = "Bearer " + self._fetch_token(dict(re.findall(r'(\w+)="([^"]*)"', rest)))
        elif kind.lower() == "basic" and self._credentials:
            self._authorization = self._credentials.basic
        return self._authorization != before

    def _fetch_token(self, challenge: dict[str, str]) -> str:
        """Ask the token server (distribution.github.io/distribution/spec/auth/token)."""
        realm = challenge.get("realm", "")
        if not realm.startswith("https://") and not is_loopback(realm):
            raise EdgeError(
                f"depot {self.host} sends logins to {host_of(realm) or 'nowhere'} without TLS",
                "give the registry's auth.token.realm an https URL",
            )
        query = {name: challenge[name] for name in ("service", "scope") if name in challenge}
        url = requests.Request("GET", realm, params=query).prepare().url or realm
        basic = self._credentials.basic if self._credentials else None
        response = self._request("GET", url, None, None, basic)
        if response.status_code != requests.codes.ok:
            raise refusal(response, self.host, self._credentials)
        try:
            document = response.json()
            return str(document.get("token") or document["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise EdgeError(
                f"token server {host_of(realm)} gave no token", "check the registry's auth.token.realm"
            ) from error


class _Authorization(AuthBase):
    """Sets the header, or nothing: with an auth object of its own, requests leaves ~/.netrc alone."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request


def _check_ca(path: Path | None) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        raise EdgeError(
            f"CA file {path} is not usable: {error.strerror or error}", "name a PEM file with --ca"
        ) from error
