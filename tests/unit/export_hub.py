"""A hub on this machine: the part of the Hugging Face API that its client uses to look up and download."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "cc594898137f460bfe9f0759e9844b3ce807cfb5"
Models = dict[str, dict[str, bytes]]


@contextmanager
def hub(models: Models) -> Iterator[tuple[str, list[str]]]:
    """Serve ``models`` (id: path: content) at COMMIT, branch main and tag v1; yields URL and paths asked for.

    ``secret/*`` is gated.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path).strip("/")
            if with_body:
                asked.append(path)
            status, headers, body = respond(models, path)
            self.send_response(status)
            for name, value in {"X-Repo-Commit": COMMIT, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def respond(models: Models, path: str) -> tuple[int, dict[str, str], bytes]:
    words = path.split("/")
    api = words[:2] == ["api", "models"]
    model = "/".join(words[2:4] if api else words[:2])
    if model.startswith("secret/"):
        return 403, {"X-Error-Code": "GatedRepo"}, b""
    if model not in models:
        return 404, {"X-Error-Code": "RepoNotFound"}, b""
    revision = (words[5:6] or ["main"])[0] if api else words[3]
    if revision not in (COMMIT, "main", "v1"):
        return 404, {"X-Error-Code": "RevisionNotFound"}, b""
    files = models[model]
    if api:
        siblings = [{"rfilename": name, "size": len(content)} for name, content in files.items()]
        document = {"id": model, "modelId": model, "sha": COMMIT, "siblings": siblings, "tags": []}
        return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()
    name = "/".join(words[4:])
    if name not in files:
        return 404, {"X-Error-Code": "EntryNotFound"}, b""
    return 200, {"ETag": f'"{hashlib.sha256(files[name]).hexdigest()}"'}, files[name]
