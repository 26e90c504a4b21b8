"""Two HTTP servers where the gateway expects OVMS, in a store: copied there and run with its own python3.

Usage: python3 gateway_upstream.py ADDRESS SLOT

Listens on ADDRESS, port 8000, and answers in HTTP/1.1 as OVMS does where the gateway looks. What a question
asks for is in its JSON: {"stream": true, "seconds": 0.5, "chunks": 5}.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upstream(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    slot = ""
    most_at_once = 0
    at_once = 0
    lock = threading.Lock()

    def enter(self) -> None:
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)

    def leave(self) -> None:
        with self.lock:
            self.at_once -= 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_GET(self) -> None:
        if self.path == "/v2/health/ready":
            self.answer(b"")
        else:
            self.answer(json.dumps({"slot": self.server.slot, "path": self.path}).encode())

    def do_POST(self) -> None:
        self.server.enter()
        try:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            wanted = json.loads(body)
            if wanted.get("stream"):
                self.stream(wanted)
            else:
                time.sleep(wanted.get("seconds", 0))
                self.answer(json.dumps(self.seen(body)).encode())
        finally:
            self.server.leave()

    def seen(self, body: bytes) -> dict[str, object]:
        return {
            "slot": self.server.slot,
            "path": self.path,
            "bytes": len(body),
            "headers": sorted(name.lower() for name in self.headers),
            "most_at_once": self.server.most_at_once,
        }

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, wanted: dict[str, float]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        chunks = int(wanted["chunks"])
        for number in range(chunks):
            time.sleep(wanted["seconds"] / chunks)
            self.chunk(f"data: {self.server.slot} {number}\n\n".encode())
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = Upstream((sys.argv[1], 8000), Handler)
    server.slot = sys.argv[2]
    server.serve_forever()
