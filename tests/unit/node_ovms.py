"""A server that answers as one is told, to see what the client makes of it (not a model of OVMS)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SERVABLE = "Qwen/tiny"


def config_entry(state: str = "AVAILABLE", error_code: str = "OK") -> dict[str, Any]:
    status = {"error_code": error_code, "error_message": error_code}
    return {SERVABLE: {"model_version_status": [{"version": "1", "state": state, "status": status}]}}


def events(*texts: str, finish: str = "stop", model: str = SERVABLE, tokens: int | None = 2) -> bytes:
    chunks: list[dict[str, Any]] = [
        {"choices": [{"delta": {"content": text}, "finish_reason": None}], "model": model} for text in texts
    ]
    if chunks:
        chunks[-1]["choices"][0]["finish_reason"] = finish
    if tokens is not None:
        chunks.append({"choices": [], "model": model, "usage": {"completion_tokens": tokens}})
    return (
        b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    )


@dataclass
class FakeOvms:
    port: int = 0
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    configs: list[dict[str, Any]] = field(default_factory=list)  # one after the other, the last one stays
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)  # Authorization of each of them
    seconds_to_answer: float = 0.0


@contextmanager
def serve(ovms: FakeOvms) -> Iterator[FakeOvms]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/v1/config" and ovms.configs:
                config = ovms.configs.pop(0) if len(ovms.configs) > 1 else ovms.configs[0]
                return self.reply(200, json.dumps(config).encode())
            return self.reply(*ovms.answers.get(self.path, (404, b'{"error": "no such path"}')))

        def do_POST(self) -> None:
            ovms.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            ovms.keys.append(self.headers["Authorization"])
            time.sleep(ovms.seconds_to_answer)
            self.reply(*ovms.answers.get(self.path, (404, b'{"error": "no such path"}')))

        def reply(self, status: int, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ovms.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield ovms
    finally:
        server.shutdown()
        server.server_close()
