"""REST client for one OVMS. Standard library only.

Paths and states: model_server v2025.4.1, src/http_rest_api_handler.cpp and
src/dags/pipelinedefinitionstatus.cpp. Nothing is tried twice: callers know what may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.ovms.chat import Completion, complete, stream
from ovms_edge.ovms.http import OvmsRefusedError, OvmsUnreachableError, Server
from ovms_edge.ovms.metrics import Sample, parse_metrics

__all__ = [
    "Completion",
    "OvmsClient",
    "OvmsRefusedError",
    "OvmsUnreachableError",
    "Sample",
    "ServableStatus",
]


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


class OvmsClient:
    """The REST API at ``url`` (``http://HOST:PORT``). Each answer has ``timeout`` seconds.

    ``ca_file`` (PEM) is trusted for https in place of the system's; ``api_key`` is what OVMS was started
    with. Every call raises OvmsUnreachableError or OvmsRefusedError.
    """

    def __init__(
        self, url: str, timeout: float, *, ca_file: Path | None = None, api_key: str | None = None
    ) -> None:
        self._server = Server(url, ca_file, api_key)
        self._timeout = timeout

    def servables(self) -> dict[str, ServableStatus]:
        """Return ``/v1/config`` by servable name: empty while the first load runs."""
        document = self._json("/v1/config")
        try:
            return {name: _status(entry["model_version_status"]) for name, entry in document.items()}
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            raise self._server.malformed("/v1/config", document) from error

    def models(self) -> list[str]:
        """Return the names in ``/v3/models``: only what is AVAILABLE is listed."""
        document = self._json("/v3/models")
        try:
            names = [entry["id"] for entry in document["data"]]
        except (KeyError, TypeError) as error:
            raise self._server.malformed("/v3/models", document) from error
        if not all(isinstance(name, str) for name in names):
            raise self._server.malformed("/v3/models", document)
        return names

    def metrics(self) -> list[Sample]:
        """Return what ``/metrics`` shows; OVMS answers 400 there unless monitoring is on."""
        text = self._get("/metrics").decode(errors="replace")
        try:
            return parse_metrics(text)
        except ValueError as error:
            raise self._server.malformed("/metrics", error) from error

    def chat(self, body: Mapping[str, Any], timeout: float) -> Completion:
        """Ask for a completion in one piece, within ``timeout`` seconds."""
        return complete(self._server, body, timeout)

    def chat_stream(
        self, body: Mapping[str, Any], timeout: float, on_text: Callable[[str], None] | None = None
    ) -> Completion:
        """Ask for a completion as it is made, within ``timeout`` seconds.

        ``on_text`` is called with each piece; the time of the first one is kept.
        """
        return stream(self._server, body, timeout, on_text)

    def _get(self, path: str) -> bytes:
        with self._server.request("GET", path, self._timeout) as response:
            return response.read()

    def _json(self, path: str) -> Any:  # whatever JSON the server sent; callers check the shape
        return self._server.json(path, self._get(path))


def _status(versions: list[dict[str, Any]]) -> ServableStatus:
    latest = versions[-1]
    return ServableStatus(str(latest["state"]), str(latest["status"]["error_code"]))
