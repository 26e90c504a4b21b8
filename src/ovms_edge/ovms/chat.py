"""Chat completions: the request, and what comes back.

Source: model_server v2025.4.1, src/llm/apis/openai_completions.cpp.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPResponse
from typing import Any

from ovms_edge.ovms.http import OvmsRefusedError, OvmsUnreachableError, Server, error_text

CHAT_PATH = "/v3/chat/completions"


@dataclass(frozen=True)
class Completion:
    """One answer. Times in seconds from the start of the request; token counts as OVMS reports them."""

    model: str
    content: str
    finish_reason: str
    completion_tokens: int
    first_token_seconds: float | None
    total_seconds: float


def chat_body(model: str, prompt: str, image_urls: Sequence[str], max_tokens: int) -> dict[str, Any]:
    """Return a request with images (data URIs) and one text.

    One text, since of several OVMS takes the last only; images first, where OVMS puts them anyway. The most
    likely token is taken each time, so the same question has the same answer.
    """
    content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": url}} for url in image_urls]
    content.append({"type": "text", "text": prompt})
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_completion_tokens": max_tokens,
        "temperature": 0,
    }


def complete(server: Server, body: Mapping[str, Any], timeout: float) -> Completion:
    """Ask for a completion in one piece, within ``timeout`` seconds."""
    started = time.monotonic()
    with server.request("POST", CHAT_PATH, timeout, {**body, "stream": False}) as response:
        document = server.json(CHAT_PATH, response.read())
    try:
        choice = document["choices"][0]
        return Completion(
            model=_text(document["model"]),
            content=_text(choice["message"]["content"]),
            finish_reason=_text(choice["finish_reason"]),
            completion_tokens=_count(document["usage"]["completion_tokens"]),
            first_token_seconds=None,
            total_seconds=time.monotonic() - started,
        )
    except (KeyError, IndexError, TypeError) as error:
        raise server.malformed(CHAT_PATH, document) from error


def stream(
    server: Server,
    body: Mapping[str, Any],
    timeout: float,
    on_text: Callable[[str], None] | None = None,
) -> Completion:
    """Ask for a completion as server-sent events, within ``timeout`` seconds.

    ``on_text`` is called with each piece of text as it comes.
    """
    try:
        return _receive(server, body, timeout, on_text)
    except _OwnError as error:
        raise error.cause from None


class _OwnError(Exception):
    """An OSError of ``on_text``, which is none of the server's."""

    def __init__(self, cause: OSError) -> None:
        super().__init__()
        self.cause = cause


def _receive(
    server: Server,
    body: Mapping[str, Any],
    timeout: float,
    on_text: Callable[[str], None] | None,
) -> Completion:
    started = time.monotonic()
    request = {**body, "stream": True, "stream_options": {"include_usage": True}}
    answer = _Answer()
    with server.request("POST", CHAT_PATH, timeout, request) as response:
        for data in _events(response):
            if data == "[DONE]":
                return answer.completion(time.monotonic() - started)
            seconds = time.monotonic() - started
            event = server.json(CHAT_PATH, data.encode())
            try:
                text = answer.take(event, seconds)
            except (KeyError, TypeError, AttributeError) as error:
                raise server.malformed(CHAT_PATH, event) from error
            if text and on_text:
                try:
                    on_text(text)
                except OSError as error:
                    raise _OwnError(error) from error
    raise OvmsUnreachableError(
        f"OVMS at {server.url} ended a stream without [DONE]", "see the log of its container"
    )


@dataclass
class _Answer:
    """What a stream has brought so far."""

    model: str = ""
    pieces: list[str] = field(default_factory=list)
    finish_reason: str = ""
    tokens: int = 0
    first_seconds: float | None = None

    def take(self, event: Any, seconds: float) -> str:
        """Add one event, that came after ``seconds``, and return its text."""
        self.model = _text(event["model"])
        text = ""
        for choice in event["choices"]:
            self.first_seconds = seconds if self.first_seconds is None else self.first_seconds
            text += _text(choice["delta"].get("content") or "")
            self.finish_reason = _text(choice["finish_reason"] or self.finish_reason)
        self.tokens = _count((event.get("usage") or {}).get("completion_tokens", self.tokens))
        self.pieces.append(text)
        return text

    def completion(self, total_seconds: float) -> Completion:
        """Return the whole."""
        content = "".join(self.pieces)
        first = self.first_seconds
        return Completion(self.model, content, self.finish_reason, self.tokens, first, total_seconds)


def _events(response: HTTPResponse) -> Iterator[str]:
    """Yield the data of each server-sent event; an error in mid-stream comes as JSON, bare or as data."""
    for line in response:
        text = line.decode(errors="replace").strip()
        if text.startswith("data:"):
            text = text.removeprefix("data:").strip()
            if not text.startswith('{"error"'):
                yield text
        if text.startswith('{"error"'):
            raise OvmsRefusedError(
                f"OVMS broke off its answer: {error_text(text)}", "see the log of the container"
            )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value.encode(errors="replace").decode()  # JSON may hold half a surrogate pair, no output takes it


def _count(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a number")
    return value
