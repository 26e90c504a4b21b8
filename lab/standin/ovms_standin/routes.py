"""From method and path to a handler (v2025.4.1 src/http_rest_api_handler.cpp, src/http_server.cpp)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ovms_standin import OVMS_VERSION
from ovms_standin.completions import Completions
from ovms_standin.manager import Manager, State
from ovms_standin.status import StatusCode, StatusError
from ovms_standin.v3_models import list_models, retrieve_model

MAX_BODY_BYTES = 1024**3
_MODEL_STATUS = re.compile(
    r".?/v1/models(?:/([^/:]+))?(?:(?:/versions/(\d+))|(?:/labels/(\w+)))?(?:/(metadata))?"
)
_PREDICT = re.compile(
    r".?/v1/models/([^/:]+)(?:(?:/versions/(\d+))|(?:/labels/(\w+)))?:(classify|regress|predict)"
)
_RELOAD = re.compile(r".?/v1/config/reload")
_CONFIG = re.compile(r".?/v1/config")
_MODEL_READY = re.compile(r"/v2/models/([^/]+)(?:/versions/([0-9]+))?(?:/(ready))")
_MODEL_METADATA = re.compile(r"/v2/models/([^/]+)(?:/versions/([0-9]+))?(?:/)?")
_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([0-9]+))?(?:/(infer))")
_LIST_MODELS = re.compile(r"/v3/(v1/)?models")
_RETRIEVE_MODEL = re.compile(r"/v3/(v1/)?models/(.+)")
_V3 = re.compile(r"/v3/.*?(/|$)")
_METRICS = re.compile(r".?/metrics")
_READABLE = (
    _MODEL_STATUS, _CONFIG, re.compile("/v2/health/(live|ready)"), re.compile("/v2"), _MODEL_METADATA,
    _MODEL_READY, _LIST_MODELS, _RETRIEVE_MODEL, _METRICS,
)  # fmt: skip


@dataclass(frozen=True)
class Json:
    """A body that is sent as it stands."""

    text: str
    status: int = 200


class Api:
    """The ASGI application."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._completions = Completions(manager)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = scope["raw_path"].decode("latin-1").partition("?")[0]
        response = await self._respond(request, path)
        response.headers.update(self._manager.options.cors)
        await response(scope, receive, send)

    async def _respond(self, request: Request, path: str) -> Response:
        try:
            if int(request.headers.get("content-length", 0)) > MAX_BODY_BYTES:
                return Response(status_code=413)
            if request.method == "POST":
                return await self._post(request, path)
            if request.method == "OPTIONS":
                return Response()
            if request.method != "GET":
                raise StatusError(StatusCode.REST_UNSUPPORTED_METHOD)
            if ".." in path.split("/"):
                raise StatusError(StatusCode.PATH_INVALID)
            return self._get(path)
        except StatusError as error:
            return _json(Json(json.dumps({"error": str(error)}), error.code.http))

    async def _post(self, request: Request, path: str) -> Response:
        if ".." in path.split("/"):
            raise StatusError(StatusCode.PATH_INVALID)
        if _PREDICT.fullmatch(path) or _INFER.fullmatch(path):
            raise StatusError(StatusCode.NOT_IMPLEMENTED, "no classic models in the stand-in")
        if _V3.match(path):
            self._authorize(request)
            return await self._completions.respond(request, path)
        if _RELOAD.fullmatch(path):
            return _json(await run_in_threadpool(self._reload))
        if any(pattern.fullmatch(path) for pattern in _READABLE):
            raise StatusError(StatusCode.REST_UNSUPPORTED_METHOD)
        raise StatusError(StatusCode.REST_INVALID_URL)

    def _get(self, path: str) -> Response:
        manager = self._manager
        if match := _MODEL_STATUS.fullmatch(path):
            return _json(self._model_status(unquote(match[1] or "")))
        if _CONFIG.fullmatch(path):
            return _json(Json(_statuses(manager.states())))
        if path == "/v2/health/live":
            return Response(media_type="application/json")
        if path == "/v2/health/ready":
            if not manager.ready:
                raise StatusError(StatusCode.MODEL_NOT_LOADED)
            return Response(media_type="application/json")
        if path == "/v2":
            about = {"name": "OpenVINO Model Server", "version": f"{OVMS_VERSION}.standin"}
            return _json(Json(json.dumps(about)))
        if match := _MODEL_READY.fullmatch(path):
            return self._model_ready(unquote(match[1]))
        if _MODEL_METADATA.fullmatch(path):
            raise StatusError(StatusCode.NOT_IMPLEMENTED, "no model metadata in the stand-in")
        if _METRICS.fullmatch(path):
            return self._metrics()
        if _LIST_MODELS.fullmatch(path):
            return _json(Json(list_models(self._available())))
        if match := _RETRIEVE_MODEL.fullmatch(path):
            return _json(Json(*retrieve_model(unquote(match[2]), self._available())))
        if _PREDICT.fullmatch(path) or _INFER.fullmatch(path) or _RELOAD.fullmatch(path):
            raise StatusError(StatusCode.REST_UNSUPPORTED_METHOD)
        raise StatusError(StatusCode.REST_INVALID_URL)

    def _available(self) -> list[str]:
        return [name for name, state in self._manager.states().items() if state is State.AVAILABLE]

    def _authorize(self, request: Request) -> None:
        key = self._manager.options.api_key
        if key and request.headers.get("authorization") != f"Bearer {key}":
            raise StatusError(StatusCode.UNAUTHORIZED)

    def _model_status(self, name: str) -> Json:
        states = self._manager.states()
        if name not in states:
            raise StatusError(StatusCode.MODEL_NAME_MISSING)
        return Json(_status(states[name]))

    def _model_ready(self, name: str) -> Response:
        states = self._manager.states()
        if name not in states:
            raise StatusError(StatusCode.MODEL_NAME_MISSING)
        if states[name] is not State.AVAILABLE:
            raise StatusError(StatusCode.MODEL_VERSION_NOT_LOADED_YET)
        return Response(media_type="application/json")

    def _metrics(self) -> Response:
        if self._manager.metrics.families is None:
            raise StatusError(StatusCode.REST_INVALID_URL)
        return Response(self._manager.metrics.render(), media_type="text/plain")

    def _reload(self) -> Json:
        try:
            self._manager.reload()
        except StatusError as error:
            if error.code is StatusCode.CONFIG_FILE_TIMESTAMP_READING_FAILED:
                reason = "Config file not found or cannot open."
            else:
                reason = "Reloading config file failed. Check server logs for more info."
            return Json(f'{{\n\t"error": "{reason}"\n}}', error.code.http)
        return Json(_statuses(self._manager.states()))


def _json(answer: Json) -> Response:
    return Response(answer.text, answer.status, media_type="application/json")


def _status(state: State | None) -> str:
    versions: list[dict[str, Any]] = []
    if state is not None:
        shown, code = state.shown
        versions = [{"version": "1", "state": shown, "status": {"error_code": code, "error_message": code}}]
    return json.dumps({"model_version_status": versions}, indent=1) + "\n"


def _statuses(states: dict[str, State | None]) -> str:
    if not states:
        return "{}"
    # OVMS does not escape the name either
    entries = ",\n".join(f'"{name}" : \n{_status(state).rstrip()}' for name, state in states.items())
    return f"{{\n{entries}\n}}"
