"""Authorization at a registry: basic, or a bearer token fetched with basic credentials.

Challenges: RFC 7235 and CNCF Distribution's token specification. Credentials files are Docker's.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from ovms_edge.errors import EdgeError
from ovms_edge.node.link import Response
from ovms_edge.oci import Credentials, is_loopback

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_LARGEST_TOKEN_BYTES = 1 << 20
TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})


class TransientError(EdgeError):
    """Worth another attempt, not before ``retry_after`` seconds."""

    def __init__(self, reason: str, remedy: str, retry_after: float = 0.0) -> None:
        super().__init__(reason, remedy)
        self.retry_after = retry_after


def credentials_for(registry: str, path: Path | None) -> Credentials | None:
    """Return what a Docker ``config.json`` holds for ``registry`` (HOST:PORT); None if nothing."""
    if path is None:
        return None
    try:
        entries = json.loads(path.read_bytes()).get("auths", {})
        entry = next((entries[key] for key in (registry, f"https://{registry}") if key in entries), None)
        if not entry:
            return None
        user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise EdgeError(f"{path} is not readable by this user", "run ovms-node as root") from error
    except (ValueError, AttributeError, KeyError, TypeError, binascii.Error) as error:
        raise EdgeError(
            f"{path} is not a Docker credentials file ({type(error).__name__})",
            "write it again with docker login or the role ovms.edge.docker_engine",
        ) from error
    return Credentials(user, password)


class Authorizer:
    """Answers the challenges of one registry, and remembers what worked."""

    def __init__(
        self,
        url: str,
        credentials: Credentials | None,
        send: Callable[[str, dict[str, str]], Response],
    ) -> None:
        self._url = url
        self._credentials = credentials
        self._send = send
        self._known: dict[str, str] = {}

    @property
    def who(self) -> str:
        """The user, for messages."""
        return f"user {self._credentials.user}" if self._credentials else "anonymous access"

    def headers(self, scope: str) -> dict[str, str]:
        """Return the authorization that worked before for ``scope``, if any."""
        known = self._known.get(scope)
        return {"Authorization": known} if known else {}

    def answer(self, challenge: str, scope: str) -> dict[str, str]:
        """Return headers that answer a ``WWW-Authenticate`` header; raises EdgeError if there is no way."""
        kind = challenge.partition(" ")[0].lower()
        if kind == "bearer":
            self._known[scope] = f"Bearer {self._token(dict(_PARAMETER.findall(challenge)), scope)}"
        elif kind == "basic" and self._credentials:
            self._known[scope] = self._credentials.basic
        elif kind == "basic":
            raise EdgeError(
                f"depot {self._url} wants a user and a password",
                "put them into the inventory (docker_engine_registries)",
            )
        else:
            raise EdgeError(
                f"depot {self._url} asks for authentication {kind or 'of no kind'!r}",
                "configure basic or token authentication there",
            )
        return self.headers(scope)

    def _token(self, parameters: dict[str, str], scope: str) -> str:
        realm = parameters.get("realm", "")
        if urlsplit(realm).scheme != "https" and not is_loopback(realm):
            raise EdgeError(
                f"depot {self._url} sends passwords to {realm!r}", "configure a token realm with https"
            )
        query = {"scope": parameters.get("scope", scope)}
        if "service" in parameters:
            query["service"] = parameters["service"]
        headers = {"Authorization": self._credentials.basic} if self._credentials else {}
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        with self._send(url, headers) as response:
            body = response.read(_LARGEST_TOKEN_BYTES)
        if response.status in TRANSIENT_STATUS:
            raise TransientError(f"token server {realm} answers {response.status}", "see its log")
        if response.status != 200:
            raise EdgeError(
                f"token server {realm} refuses {self.who} ({response.status})",
                "check user and password of the registry in the inventory (docker_engine_registries)",
            )
        try:
            document = json.loads(body)
            return str(document.get("token") or document["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise EdgeError(f"token server {realm} sends no token", "see its log") from error
