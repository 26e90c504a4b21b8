"""What a registry's refusals and failures mean for the user who meets them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import requests

from ovms_edge.errors import EdgeError
from ovms_edge.oci import Credentials

TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500


class TransientError(EdgeError):
    """A failure that may be gone a moment later."""

    def __init__(self, reason: str, remedy: str, pause_seconds: float = 0.0) -> None:
        super().__init__(reason, remedy)
        self.pause_seconds = pause_seconds


def host_of(url: str) -> str:
    """Return HOST:PORT of a URL: what may stand in a message."""
    return urlsplit(url).netloc.rpartition("@")[2]


def connection_error(host: str, error: Exception) -> TransientError:
    """Return the error for a registry that could not be reached, or went away."""
    return TransientError(
        f"depot {host} does not answer: {_cause(error)}",
        "check that the registry runs and can be reached from here",
    )


def refusal(response: requests.Response, host: str, credentials: Credentials | None) -> EdgeError:
    """Return the error for an answer that was not asked for; ``host`` is what credentials are kept under."""
    status, answerer = response.status_code, host_of(response.url)
    detail = _registry_error(response)
    if status in (requests.codes.unauthorized, requests.codes.forbidden):
        if credentials is None:
            return EdgeError(
                f"depot {answerer} wants a password ({status}) and there is none for {host}",
                f"add {host} to the credentials file (--credentials, or docker login)",
            )
        return EdgeError(
            f"depot {answerer} refuses user {credentials.user!r}: {status}{detail}",
            f"check user and password of {host} in the credentials file, and what the user may do",
        )
    if "DIGEST_INVALID" in detail:
        return EdgeError(
            f"depot {answerer} got other bytes than the manifest's{detail}",
            "publish again; if it persists, a proxy changes what it passes on, or this host's memory is bad",
        )
    reason = f"depot {answerer} answered {status} to {response.request.method}{detail}"
    if status == TOO_MANY_REQUESTS or status >= SERVER_ERROR:
        wait = response.headers.get("Retry-After", "")
        return TransientError(
            reason, "see the registry's log, and its disk", float(wait) if wait.isdecimal() else 0.0
        )
    return EdgeError(reason, "see the registry's log")


def tls_error(host: str, text: str) -> EdgeError:
    """Return the error for a failed handshake, ``text`` being what OpenSSL said."""
    cause = re.search(r"certificate verify failed: ([^(]+)", text)
    if cause:
        return EdgeError(
            f"certificate of depot {host} is not trusted: {cause[1].strip()}",
            "give the CA that issued it with --ca FILE, and the name that stands in it with --depot",
        )
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text:
        return EdgeError(f"depot {host} does not speak TLS", "check the port")
    return TransientError(f"TLS with depot {host} failed: {text}", "check the registry and what is before it")


def _cause(error: BaseException) -> str:
    """Return the innermost text: requests and urllib3 wrap it, with objects' addresses in it."""
    text = str(error)
    for known in ("Connection refused", "Name or service not known", "No route to host", "timed out"):
        if known in text:
            return known.lower()
    return re.sub(r"<[^>]*>[,:]? ?", "", text).strip()


def _registry_error(response: requests.Response) -> str:
    """Return what the registry says itself: OCI distribution-spec, Error Codes."""
    try:
        first = response.json()["errors"][0]
        return f" ({first['code']}: {first.get('message', '')} {first.get('detail') or ''})".replace(
            " )", ")"
        )
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
