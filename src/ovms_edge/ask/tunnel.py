"""An SSH tunnel that lives as long as it is needed, to the socket of the store's gateway.

Its address, port and certificate are for others: the socket is plain HTTP, on the store itself.
"""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ovms_edge.ask.store import Store
from ovms_edge.errors import EdgeError

GATEWAY_SOCKET = "/run/ovms-edge-gateway/apps/http.sock"
_LOOPBACK = "127.0.0.1"
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)  # loaded before any fork
_POLL_SECONDS = 0.05
_OPEN_SECONDS = 30
_END_SECONDS = 5


@contextmanager
def tunnel(store: Store) -> Iterator[str]:
    """Yield the URL at which ``store``'s gateway is found here; it ends with the block, or with this process.

    Host keys are checked as the inventory says. Raises EdgeError if it does not open.
    """
    port = _free_port()
    process = subprocess.Popen(
        _command(store, port),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_die_with_parent,
    )
    try:
        _wait_until_open(process, port, store)
        yield f"http://{_LOOPBACK}:{port}"
    finally:
        _end(process)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _command(store: Store, port: int) -> list[str]:
    options = ("BatchMode=yes", "ExitOnForwardFailure=yes", "ConnectTimeout=10", "ServerAliveInterval=15")
    own = ("ControlMaster=no", "ControlPath=none")  # a shared connection would outlive the command
    flags = [word for option in (*options, *own) for word in ("-o", option)]
    return ["ssh", "-N", "-L", f"{_LOOPBACK}:{port}:{GATEWAY_SOCKET}", *flags, *store.ssh]


def _wait_until_open(process: subprocess.Popen[str], port: int, store: Store) -> None:
    deadline = time.monotonic() + _OPEN_SECONDS
    while time.monotonic() < deadline:
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if _listens(port):
                return
            continue
        said = process.communicate()[1].strip().splitlines()
        raise EdgeError(
            f"no SSH tunnel to {store.name}: {said[-1] if said else f'ssh ended with {process.returncode}'}",
            "see whether the store is on, and whether Ansible reaches it",
        )
    raise EdgeError(
        f"no SSH tunnel to {store.name} within {_OPEN_SECONDS} s", "see whether Ansible reaches the store"
    )


def _listens(port: int) -> bool:
    try:
        socket.create_connection((_LOOPBACK, port), _POLL_SECONDS).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
