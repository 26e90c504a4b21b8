"""Runs on a store, as root: prints as JSON what the tests judge. Standard library only (3.10+)."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

KEYS = ("first-key-of-the-molecule-scenario", "second-key-of-the-molecule-scenario")
FILES = (
    "/etc/systemd/journald.conf.d/ovms-edge.conf",
    "/etc/systemd/timesyncd.conf.d/ovms-edge.conf",
    "/etc/systemd/system.conf.d/ovms-edge.conf",
    "/etc/ansible/facts.d/ovms_edge.fact",
    "/etc/docker/daemon.json",
    "/etc/ovms-edge/revoked_signers",
    "/etc/ovms-edge/node.json",
)


def output(*argv: str) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False).stdout


def node(command: str) -> Any:
    return json.loads(output("/usr/local/bin/ovms-node", command, "--json"))


def inspect(container: str) -> Any:
    return json.loads(output("docker", "inspect", container))[0]


def engine() -> Any:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect("/run/docker.sock")
    connection.request("GET", "/info")
    return json.loads(connection.getresponse().read())


def asked(key: str | None = None, body: bytes | None = None) -> int:
    """Return the status that the gateway answers, asked for the models."""
    # this host's own gateway: its certificate is for the name that clients use
    context = ssl._create_unverified_context()  # noqa: S323
    connection = http.client.HTTPSConnection("127.0.0.1", 8443, timeout=30, context=context)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with contextlib.suppress(OSError):  # it may refuse before it has read all; its answer is there
        connection.request("POST" if body else "GET", "/v3/models", body, headers)
    return connection.getresponse().status


def collect() -> dict[str, Any]:
    status = node("status")
    server = inspect(f"ovms-vlm-{status['active']['slot']}")
    (models,) = (mount["Source"] for mount in server["Mounts"] if mount["Destination"] == "/models")
    return {
        "files": {path: Path(path).read_text() for path in FILES},
        "protected": [str(path) for path in Path("/etc/systemd/system").glob("*/ovms-edge-oom.conf")],
        "rules": output("nft", "list", "table", "inet", "ovms_edge").splitlines(),
        "sshd": output("/usr/sbin/sshd", "-T").splitlines(),
        "engine": engine(),
        "held": output("apt-mark", "showhold").split(),
        "metrics": "".join(path.read_text() for path in Path("/srv/metrics").glob("*.prom")),
        "without_key": asked(),
        "with_keys": [asked(key) for key in KEYS],
        "too_large": asked(KEYS[0], bytes(17 << 20)),
        "gateway_metrics": urllib.request.urlopen("http://127.0.0.1:9405/metrics").read().decode(),
        "alias": inspect("ovms-edge-alias"),
        "status": status,
        "server": server,
        "graph": next(Path(models).rglob("graph.pbtxt")).read_text(),
    }


print("\n" + json.dumps(collect()))
