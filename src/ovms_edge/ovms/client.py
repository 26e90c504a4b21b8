"""REST client for one OVMS. Standard library only.

Paths, states and status codes: model_server v2025.4.1, src/http_rest_api_handler.cpp,
src/dags/pipelinedefinitionstatus.cpp and src/llm/apis/openai_completions.cpp.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

from ovms_edge.errors import EdgeError

_READ_CHUNK = 1 << 16


class OvmsUnreachableError(EdgeError):
    """Nothing answers, or the connection broke."""


class OvmsRefusedError(EdgeError):
    """OVMS answered with an error, or with something that is not its protocol."""


@dataclass(frozen=True)
class ServableStatus:
    """One entry of ``/v1/config``."""

    state: str
    error_code: str

    @property
    def available(self) -> bool:
        """Loaded; says nothing about KV memory, which the first request allocates."""
        return self.state == "AVAILABLE" and self.error_code == "OK"

    @property
    def failed(self) -> bool:
        """The load failed and OVMS does not retry it: LOADING with an error code."""
        return self.state == "LOADING" and self.error_code != "OK"


@dataclass(frozen=True)
class Completion:
    """One answer. Times in seconds from the start of the request; token counts as OVMS reports them."""

    model: str
    content: str
    finish_reason: str
    completion_tokens: int
    first_token_seconds: float | None
    total_seconds: float


class OvmsClient:
    """The REST API at ``host:port``. Times out after ``timeout`` seconds without a byte."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._host = host
        self._port = port
        self._timeout = timeout

    def servables(self) -> dict[str, ServableStatus]:
        """Return ``/v1/config`` by servable name: empty while the first load runs."""
        document = self._get("/v1/config")
        try:
            return {name: _status(entry["model_version_status"]) for name, entry in document.items()}
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            raise self._malformed("/v1/config", document) from error

    def models(self) -> list[str]:
        """Return the names in ``/v3/models``: only what is AVAILABLE is listed."""
        document = self._get("/v3/models")
        try:
            return [_text(entry["id"]) for entry in document["data"]]
        except (KeyError, TypeError) as error:
            raise self._malformed("/v3/models", document) from error

    def chat(self, body: Mapping[str, Any], timeout: float) -> Completion:
        """Ask for a completion in one piece."""
        started = time.monotonic()
        with self._request("POST", "/v3/chat/completions", timeout, {**body, "stream": False}) as response:
            document = self._json("/v3/chat/completions", response.read())
        try:
            choice = document["choices"][0]
            return Completion(
                model=document["model"],
                content=choice["message"]["content"],
                finish_reason=choice["finish_reason"],
                completion_tokens=document["usage"]["completion_tokens"],
                first_token_seconds=None,
                total_seconds=time.monotonic() - started,
            )
        except (KeyError, IndexError, TypeError) as error:
            raise self._malformed("/v3/chat/completions", document) from error

    def chat_stream(self, body: Mapping[str, Any], timeout: float) -> Completion:
        """Ask for a completion as server-sent events; the time of the first one is kept."""
        started = time.monotonic()
        request = {**body, "stream": True, "stream_options": {"include_usage": True}}
        pieces: list[str] = []
        model = finish_reason = ""
        tokens, first, done = 0, None, False
        with self._request("POST", "/v3/chat/completions", timeout, request) as response:
            for data in _events(response):
                if data == "[DONE]":
                    done = True
                    break
                event = self._json("/v3/chat/completions", data.encode())
                if time.monotonic() - started > timeout:
                    raise self._silent("POST /v3/chat/completions", timeout)
                try:
                    model = _text(event["model"])
                    for choice in event["choices"]:
                        first = time.monotonic() - started if first is None else first
                        pieces.append(_text(choice["delta"].get("content") or ""))
                        finish_reason = _text(choice["finish_reason"] or finish_reason)
                    tokens = _count((event.get("usage") or {}).get("completion_tokens", tokens))
                except (KeyError, TypeError, AttributeError) as error:
                    raise self._malformed("/v3/chat/completions", event) from error
        if not done:
            raise OvmsUnreachableError(
                f"OVMS at {self._host}:{self._port} ended a stream without [DONE]",
                "see the log of its container",
            )
        total = time.monotonic() - started
        return Completion(model, "".join(pieces), finish_reason, tokens, first, total)

    def _get(self, path: str) -> Any:  # whatever JSON the server sent; callers check the shape
        with self._request("GET", path, self._timeout) as response:
            return self._json(path, response.read())

    @contextmanager
    def _request(
        self, method: str, path: str, timeout: float, body: Mapping[str, Any] | None = None
    ) -> Iterator[HTTPResponse]:
        connection = HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            data = json.dumps(body).encode() if body is not None else None
            # without this header OVMS takes the model's name from the URI
            headers = {"Content-Type": "application/json"} if data else {}
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            if response.status != 200:
                text = response.read(_READ_CHUNK).decode(errors="replace").strip()
                raise OvmsRefusedError(
                    f"{method} {path} answered {response.status}: {_error_text(text)}",
                    "see the log of the container",
                )
            yield response
        except TimeoutError as error:
            raise self._silent(f"{method} {path}", timeout) from error
        except (OSError, HTTPException) as error:
            raise OvmsUnreachableError(
                f"OVMS at {self._host}:{self._port} does not answer {method} {path}: "
                f"{error or type(error).__name__}",
                "see whether its container runs, and its log",
            ) from error
        finally:
            connection.close()

    def _json(self, path: str, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            raise self._malformed(path, data[:200]) from error

    def _silent(self, what: str, timeout: float) -> OvmsUnreachableError:
        return OvmsUnreachableError(
            f"OVMS at {self._host}:{self._port} did not answer {what} within {timeout:g} s",
            "see the log of its container, or allow more time",
        )

    def _malformed(self, path: str, found: object) -> OvmsRefusedError:
        return OvmsRefusedError(
            f"{path} at {self._host}:{self._port} is not what OVMS answers: {str(found)[:200]}",
            "see whether another program listens on this port",
        )


def _status(versions: list[dict[str, Any]]) -> ServableStatus:
    latest = versions[-1]
    return ServableStatus(str(latest["state"]), str(latest["status"]["error_code"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a number")
    return value


def _error_text(text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:300]


def _events(response: HTTPResponse) -> Iterator[str]:
    """Yield the data of each server-sent event."""
    for line in response:
        if line.startswith(b"data:"):
            yield line[len(b"data:") :].decode(errors="replace").strip()
