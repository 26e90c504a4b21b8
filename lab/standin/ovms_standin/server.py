"""Start order and end of the process: HTTP first, models last (v2025.4.1 src/server.cpp)."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from types import FrameType

import uvicorn

from ovms_standin import OVMS_VERSION, device, log
from ovms_standin.manager import Manager
from ovms_standin.options import EX_USAGE, Options, UsageError, parse
from ovms_standin.routes import Api
from ovms_standin.status import StatusError

logger = logging.getLogger("serving")
_KEEP_ALIVE_SECONDS = 24 * 3600  # OVMS never closes an idle connection
_GRACE_SECONDS = 8  # below the ten that `docker stop` waits


class _HttpServer(uvicorn.Server):
    """Calls ``then`` once it listens."""

    def __init__(self, config: uvicorn.Config, then: threading.Thread) -> None:
        super().__init__(config)
        self._then = then

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._then.start()


def main(arguments: list[str]) -> int:
    """Run the server until SIGTERM or SIGINT; returns the exit status."""
    try:
        options = parse(arguments[1:], dict(os.environ))
    except UsageError as error:
        print(error, file=sys.stderr)
        return EX_USAGE
    except OSError as error:
        print(f"Error reading API key file: {error}", file=sys.stderr)
        return 1
    if options is None:
        print(f"OpenVINO Model Server {OVMS_VERSION} (stand-in)")
        return 0
    log.set_up(options.log_level, options.log_path)
    logger.info("OpenVINO Model Server %s (stand-in)", OVMS_VERSION)
    logging.getLogger("modelmanager").info(
        "Available devices for Open VINO: %s", ", ".join(device.available_devices())
    )
    status = _Run(options).until_end()
    sys.stdout.flush()
    os._exit(status)  # threads may be waiting for an engine; there is nothing left to tidy


class _Run:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._manager = Manager(options)
        self._loader = threading.Thread(target=self._load, name="loader", daemon=True)
        self._status = 0
        self._end = threading.Event()
        self._http: _HttpServer | None = None

    def until_end(self) -> int:
        if self._options.rest_port:
            return self._serve_http()
        logger.warning("gRPC is not offered by the stand-in; --port is not listened on")
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        self._loader.start()
        self._end.wait()
        return self._status

    def _serve_http(self) -> int:
        try:
            sockets = [self._listen(address) for address in self._options.rest_bind_address.split(",")]
        except OSError as error:
            logger.error("Failed to start REST server: %s", error)
            return 1
        config = uvicorn.Config(
            Api(self._manager),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._http = _HttpServer(config, self._loader)
        logger.info("REST server listening on port %d", self._options.rest_port)
        try:
            self._http.run(sockets)
        except KeyboardInterrupt:
            logger.info("interrupted")
        return self._status

    def _listen(self, address: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        logger.info("Binding REST server to address: %s:%d", address, self._options.rest_port)
        return socket.create_server((address, self._options.rest_port), family=family)

    def _load(self) -> None:
        try:
            self._manager.start()
        except StatusError as error:
            logger.error("Couldn't start model manager: %s", error)
            self._status = 1
            if self._http is not None:
                self._http.should_exit = True
            self._end.set()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        logger.info("signal %d (%s): ending", number, frame.f_code.co_name if frame else "idle")
        self._end.set()
