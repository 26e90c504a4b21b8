"""Runs on a store, as root: prints as JSON what the tests judge. Standard library only (3.10+).

One program and one call, since a connection for each fact would take minutes on a fleet.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

NODE_CONFIG = Path("/etc/ovms-edge/node.json")
GATEWAY_CONFIG = Path("/etc/ovms-edge/gateway.json")
DOCKER_CONFIG = Path("/root/.docker/config.json")
HOST_FACTS = Path("/etc/ansible/facts.d/ovms_edge.fact")
# Those that host_baseline protects, if it is asked to.
OOM_DROP_IN = "/etc/systemd/system/{unit}.d/ovms-edge-oom.conf"
PROTECTED = ("ssh.service", "ovms-edge-gateway.service", "ovms-edge-tend.service")
FIREWALL, FIREWALL_UNIT = Path("/etc/ovms-edge/firewall.nft"), "ovms-edge-firewall.service"
UNITS = ("ovms-edge-gateway.service", "ovms-edge-tend.timer")
LOG_LINES = 40


def output(*argv: str) -> str:
    return subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    ).stdout


def file_facts(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    found = path.stat()
    return {"uid": found.st_uid, "gid": found.st_gid, "mode": f"{found.st_mode & 0o7777:04o}"}


def render_nodes() -> list[tuple[str, int, str]]:
    """Return each node's path, group id, and the group's name if it has one."""
    nodes = [(str(path), path.stat().st_gid) for path in Path("/dev/dri").glob("render*")]
    return [(path, gid, output("getent", "group", str(gid)).partition(":")[0]) for path, gid in nodes]


def protection() -> dict[str, str]:
    """Return the score that systemd gives each unit that is there and has our drop-in."""
    units = [unit for unit in PROTECTED if Path(OOM_DROP_IN.format(unit=unit)).exists()]
    there = [unit for unit in units if shown("LoadState", unit) == "LoadState=loaded"]
    return {unit: shown("OOMScoreAdjust", unit) for unit in there}


def shown(name: str, unit: str) -> str:
    return output("systemctl", "show", f"--property={name}", unit).strip()


def red_png(size: int = 64) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    rows = (b"\x00" + b"\xff\x00\x00" * size) * size
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def request(url: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # this host's own gateway: its certificate is for the name that clients use
        context = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=400, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=400)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        return {"status": response.status, "body": response.read().decode(errors="replace")}
    except OSError as error:
        return {"status": None, "body": str(error)}
    finally:
        connection.close()


def chat(url: str, servable: str, stream: bool) -> dict[str, Any]:
    image = "data:image/png;base64," + base64.b64encode(red_png()).decode()
    question = [
        {"type": "text", "text": "What colour is this?"},
        {"type": "image_url", "image_url": {"url": image}},
    ]
    messages = [{"role": "user", "content": question}]
    body = {
        "model": servable,
        "messages": messages,
        "max_completion_tokens": 8,
        "temperature": 0,
        "stream": stream,
    }
    return request(url, "POST", "/v3/chat/completions", body)


def containers() -> dict[str, dict[str, Any]]:
    """Return what the engine knows of each container, by its name."""
    # no --format: Ansible takes two braces for a template of its own
    names = sorted(line.split()[-1] for line in output("docker", "ps", "--all").splitlines()[1:])
    return {name: json.loads(output("docker", "inspect", name))[0] for name in names}


def answering_url(gateway: dict[str, Any], slot: str) -> str:
    """Return the gateway, or OVMS itself where it wants a key: this host has the keys' digests only."""
    if request(gateway["url"], "GET", "/v1/config")["status"] != 401:
        return gateway["url"]
    return f"http://{gateway['slots'][slot]}:8000"


def passwords() -> list[str]:
    auths = json.loads(DOCKER_CONFIG.read_text())["auths"] if DOCKER_CONFIG.exists() else {}
    encoded = [entry["auth"] for entry in auths.values() if "auth" in entry]
    return encoded + [base64.b64decode(text).decode().partition(":")[2] for text in encoded]


def places_with_secrets(container: str, state_dir: Path) -> list[str]:
    texts = {
        "container log": output("docker", "logs", container),
        "container settings": output("docker", "inspect", container),
        "journal": output("journalctl", "--no-pager", "--output=cat"),
        "state.json": (state_dir / "state.json").read_text(),
        "journal.jsonl": (state_dir / "journal.jsonl").read_text(),
        "node.json": NODE_CONFIG.read_text(),
    }
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            texts[str(process)] = process.read_text(errors="replace")
        except OSError:
            continue  # the process has ended
    secrets = passwords()
    return [place for place, text in texts.items() if any(secret in text for secret in secrets)]


def release_modes(releases: Path) -> list[str]:
    """Return each kind, owner and mode that occurs below ``releases/NAME/VERSION``."""
    entries = [entry for version in releases.glob("*/*") for entry in (version, *version.rglob("*"))]
    kinds = {("directory" if entry.is_dir() else "file", entry.stat()) for entry in entries}
    return sorted({f"{kind} {found.st_uid} {found.st_mode & 0o7777:04o}" for kind, found in kinds})


def document(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def host() -> dict[str, Any]:
    """What any host has."""
    return {
        "units": {unit: output("systemctl", "is-active", unit).strip() for unit in UNITS},
        "host_facts": document(HOST_FACTS),
        "journald": output("systemd-analyze", "cat-config", "systemd/journald.conf"),
        "protection": protection(),
        "firewall": output("systemctl", "is-enabled", FIREWALL_UNIT).strip(),
        "rules": output("nft", "list", "table", "inet", "ovms_edge") if FIREWALL.exists() else "",
        "render_nodes": render_nodes(),
        "passwords": len(passwords()),
    }


def node(state_dir: Path) -> dict[str, Any]:
    return {
        "facts": json.loads(output("/usr/local/bin/ovms-node", "facts", "--json")),
        "release_modes": release_modes(state_dir / "releases"),
    }


def gateway(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "gateway": settings,
        "gateway_health": request(settings["url"], "GET", "/health"),
    }


def server(active: dict[str, Any], state_dir: Path, settings: dict[str, Any]) -> dict[str, Any]:
    container, url = f"ovms-vlm-{active['slot']}", answering_url(settings, active["slot"])
    there = containers()
    return {
        "active": active,
        "route": Path(settings["route_file"]).read_text().strip(),
        "containers": list(there),
        "container": there.get(container),
        "alias": there.get("ovms-edge-alias"),
        "network": json.loads(output("docker", "network", "inspect", settings["network"]))[0],
        "config_status": request(url, "GET", "/v1/config"),
        "models": request(url, "GET", "/v3/models"),
        "chat": chat(url, active["servable"], stream=False),
        "chat_streamed": chat(url, active["servable"], stream=True),
        "secret_in": places_with_secrets(container, state_dir),
        "log": output("docker", "logs", "--tail", str(LOG_LINES), container),
    }


def collect(paths: list[str]) -> dict[str, Any]:
    """Return what this host shows, part by part as far as it goes: a scenario of one role has no more."""
    config, settings = document(NODE_CONFIG), document(GATEWAY_CONFIG)
    state_dir = Path(config["state_dir"]) if config else Path("/var/lib/ovms-edge")
    active = (document(state_dir / "state.json") or {}).get("active")
    found = host()
    found["files"] = {path: file_facts(Path(path.format(state_dir=state_dir))) for path in paths}
    if config:
        found |= node(state_dir)
    if settings:
        found |= gateway(settings)
    if active:
        found |= server(active, state_dir, settings)
    return found
