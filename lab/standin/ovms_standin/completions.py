"""``POST /v3/chat/completions``: routing by model, answers whole or streamed
(v2025.4.1 src/http_rest_api_handler.cpp, src/llm/apis/openai_completions.cpp)."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ovms_standin import chat
from ovms_standin.manager import Manager
from ovms_standin.messages import Sequence
from ovms_standin.servable import Answer, Servable
from ovms_standin.status import InvalidArgument, StatusCode, StatusError

logger = logging.getLogger("llm_calculator")
_CHAT_PATHS = ("/v3/chat/completions", "/v3/v1/chat/completions")
_INPUT_STREAM = "input"


class Completions:
    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def respond(self, request: Request, path: str) -> Response:
        body = await request.body()
        is_json = "application/json" in request.headers.get("content-type", "")
        document = _document(body, path) if is_json else None
        name = document["model"] if document else ""
        name = name or path.removeprefix("/v3/")
        servable = await run_in_threadpool(self._manager.servable, name)
        return await run_in_threadpool(self._run, servable, name, path, document)

    def _run(self, servable: Servable, name: str, path: str, document: dict[str, Any] | None) -> Response:
        logger.debug("Request body: %s", document)
        stream = bool(document and document.get("stream"))
        method = "Stream" if stream else "Unary"
        registry = self._manager.metrics
        if servable.node.request_fault:
            registry.add("ovms_graph_error", name, method)
            raise StatusError(StatusCode.MEDIAPIPE_GRAPH_START_ERROR, servable.node.request_fault)
        if servable.node.input_stream != _INPUT_STREAM:
            registry.add("ovms_graph_error", name, method)
            raise StatusError(StatusCode.MEDIAPIPE_GRAPH_ADD_PACKET_INPUT_STREAM, "no stream named input")
        started = time.monotonic()
        registry.add("ovms_requests_accepted", name, method)
        registry.running(name, 1)
        try:
            request, answer = _ask(servable, path, document)
        except (InvalidArgument, StatusError) as error:
            registry.running(name, -1)
            registry.add("ovms_graph_error", name, method)
            logger.error("Failed to process request: %s", error)
            if isinstance(error, InvalidArgument):
                raise error.as_status(servable.node.name) from error
            raise
        if request.stream:
            events = self._events(request, answer, name, started)
            return StreamingResponse(
                events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
            )
        try:
            text = _unary(request, answer)
        finally:
            registry.running(name, -1)
        registry.add("ovms_responses", name, method)
        registry.observe(name, method, (time.monotonic() - started) * 1e6)
        return Response(text, media_type="application/json")

    def _events(self, request: chat.ChatRequest, answer: Answer, name: str, started: float) -> Iterator[str]:
        created = int(time.time())
        tokens = 0
        registry = self._manager.metrics
        try:
            for chunk in answer.chunks():
                tokens += chunk.tokens
                if chunk.text or chunk.finish_reason:
                    yield _event(_chunk(request, created, chunk.text, chunk.finish_reason))
                    registry.add("ovms_responses", name, "Stream")
            if request.include_usage:
                yield _event(
                    {
                        "choices": [],
                        "created": created,
                        "model": request.model,
                        "object": "chat.completion.chunk",
                        "usage": _usage(answer.prompt_tokens, tokens),
                    }
                )
            yield "data: [DONE]\n\n"
            registry.observe(name, "Stream", (time.monotonic() - started) * 1e6)
        finally:
            registry.running(name, -1)


def _document(body: bytes, path: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise StatusError(StatusCode.JSON_INVALID, "Cannot parse JSON body") from error
    if not isinstance(document, dict):
        raise StatusError(StatusCode.JSON_INVALID, "JSON body must be an object")
    if "model" not in document:
        raise StatusError(StatusCode.JSON_INVALID, "model field is missing in JSON body")
    if not isinstance(document["model"], str):
        raise StatusError(StatusCode.JSON_INVALID, "model field is not a string")
    if "completions" in path and not isinstance(document.get("stream", False), bool):
        raise StatusError(StatusCode.JSON_INVALID, "stream field is not a boolean")
    return document


def _ask(servable: Servable, path: str, document: dict[str, Any] | None) -> tuple[chat.ChatRequest, Answer]:
    if document is None:
        raise InvalidArgument("Non-json request received in text generation calculator")
    if path not in _CHAT_PATHS:
        raise InvalidArgument("Wrong endpoint. VLM Servable allowed only on /v3/chat/completions endpoint")
    request = chat.parse(document, servable.limits)
    return request, servable.ask(request)


def _unary(request: chat.ChatRequest, answer: Answer) -> str:
    created = int(time.time())
    sequences = answer.unary().sequences
    document = {
        "choices": [_choice(index, sequence, request) for index, sequence in enumerate(sequences)],
        "created": created,
        "model": request.model,
        "object": "chat.completion",
        "usage": _usage(answer.prompt_tokens, sum(sequence.tokens for sequence in sequences)),
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _choice(index: int, sequence: Sequence, request: chat.ChatRequest) -> dict[str, Any]:
    logprobs = None
    if request.logprobs:
        logprobs = {
            "content": [
                {"token": token, "logprob": value, "bytes": list(token.encode()), "top_logprobs": []}
                for token, value in sequence.logprobs
            ]
        }
    return {
        "finish_reason": sequence.finish_reason,
        "index": index,
        "logprobs": logprobs,
        "message": {"content": sequence.text, "role": "assistant", "tool_calls": []},
    }


def _chunk(request: chat.ChatRequest, created: int, text: str, reason: str | None) -> dict[str, Any]:
    choice = {"finish_reason": reason, "index": 0, "logprobs": None, "delta": {"content": text}}
    chunk: dict[str, Any] = {
        "choices": [choice],
        "created": created,
        "model": request.model,
        "object": "chat.completion.chunk",
    }
    if request.include_usage:
        chunk["usage"] = None
    return chunk


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document, separators=(',', ':'), ensure_ascii=False)}\n\n"
