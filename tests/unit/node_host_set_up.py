"""What a host to decommission was before us, and what the roles and the node tool make of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ansible_collections.ovms.edge.plugins.plugin_utils import _record_program
from tests.unit.node_host import Host, identity


def bare(root: Path, *, engine: bool) -> Host:
    """Return a host before us, with settings and packages of its own; ``engine``: Docker Engine too."""
    host = Host(root)
    host.path("/var/lib/dpkg").mkdir(parents=True)
    host.write("/etc/docker/daemon.json", '{"debug": true}', owner=(0, 7))
    host.write("/etc/chrony/chrony.conf", "pool theirs\n", owner=(4, 5))
    host.write("/etc/fstab")
    host.path("/etc/ssh/sshd_config.d").mkdir(parents=True)
    host.path("/etc/systemd/system").mkdir(parents=True)
    host.path("/usr/local/bin").mkdir(parents=True)
    host.path("/run").mkdir()
    host.groups = {"render": 100, "staff": 50}
    host.install("tar", wanted=True)
    host.install("left-over")
    host.units = {"ssh.service": {"enabled": True, "active": True}}
    if engine:
        add_engine(host)
        host.containers = [container("till")]
        host.all_images = {"sha256:till": ["till:1"]}
    return host


def add_engine(host: Host) -> None:
    """In the order in which packages are made: what others need comes first."""
    host.install("runc")
    host.install("containerd", needs=("runc",), service="containerd.service")
    host.install("docker.io", needs=("containerd",), wanted=True)
    host.units["containerd.service"] = {"enabled": False, "active": True}
    host.units["docker.service"] = {"enabled": True, "active": True}
    host.groups.setdefault("docker", 999)
    host.write("/var/lib/docker/engine-id")


def container(name: str, **labels: str) -> dict[str, Any]:
    return {"Id": name, "Names": [f"/{name}"], "ImageID": f"sha256:{name}", "Labels": labels}


def set_up(host: Host, *, engine: bool) -> None:
    """Do what the roles and the node tool do, as far as it matters; ``engine``: it was there before."""
    record = _record_program.Record(str(host.path("/etc/ovms-edge/record")))
    record.note_packages([*(() if engine else ("docker.io",)), "haproxy"])
    if not engine:
        add_engine(host)
    host.install("liblua")
    host.install("haproxy", needs=("liblua",), wanted=True)
    host.users.add("haproxy")
    host.groups["haproxy"] = 998
    record.note_unit("docker.service", enabled=engine, active=engine)
    _change(
        host,
        record,
        "/etc/docker/daemon.json",
        b'{"debug": true, "live-restore": true}',
        {"live-restore": True},
    )
    _change(host, record, "/etc/chrony/chrony.conf", b"pool ours\n", None)
    _change(host, record, "/etc/docker/certs.d/depot/ca.crt", b"ca", None)
    record.note_group("render", 100)
    record.note_group("video", None)
    host.groups |= {"render": 44, "video": 43}
    for name in (
        *("/etc/ssh/sshd_config.d/01-ovms-edge.conf", "/etc/systemd/journald.conf.d/ovms-edge.conf"),
        *("/etc/systemd/system.conf.d/ovms-edge.conf", "/etc/systemd/system/ovms-edge-tend.timer"),
        *("/etc/systemd/system/ovms-edge-gateway.service", "/usr/local/lib/ovms-edge/gpu-timeouts"),
        "/usr/local/bin/ovms-node",
    ):
        record.note_directories(str(host.path(name)))
        host.write(name, "ours")
    for name in ("ovms-edge-tend.timer", "ovms-edge-gateway.service"):
        host.units[name] = {"enabled": True, "active": True}
    host.write("/run/ovms-edge-gateway/route", "a")
    _serve(host, record)


def _change(
    host: Host, record: _record_program.Record, name: str, new: bytes, merge: dict[str, Any] | None
) -> None:
    path = host.path(name)
    record.note_file(str(path), path.read_bytes() if path.exists() else None, new, merge)
    # The owners are pretended, so the record does not know them.
    document = host.path("/etc/ovms-edge/record/installed.json")
    known = json.loads(document.read_text())
    if known["files"][str(path)]["original"]:
        uid, gid = host.owners[identity(path)]
        known["files"][str(path)] |= {"uid": uid, "gid": gid}
        record._document = known
    host.write(name, new)


def _serve(host: Host, record: _record_program.Record) -> None:
    state = host.path("/srv/ovms-edge")
    record.note_directory(str(state))
    settings = {"state_dir": str(state), "depot": {"url": "https://depot.example"}}
    host.write("/etc/ovms-edge/node.json", json.dumps({"schema": 1, **settings}))
    host.write("/etc/ovms-edge/gateway.json", "{}")
    active = {"settings": {"image": "depot/server:1"}}
    host.write("/srv/ovms-edge/state.json", json.dumps({"active": active, "previous": None}))
    for name in ("lock", "serve.lock", "releases/vlm/1/a.bin", "cache/blob"):
        host.write(f"/srv/ovms-edge/{name}", hashlib.sha256(name.encode()).digest())
    host.path("/srv/ovms-edge/releases/vlm/1").chmod(0o555)
    ours = {"ovms-edge.spec": "x"}
    # The second one is of a switch that was cut off: no file of ours names its image.
    host.containers += [container("ovms-vlm-a", **ours), container("ovms-vlm-b", **ours)]
    host.all_images |= {"sha256:one": ["depot/server:1", "depot/server:latest"], "sha256:ovms-vlm-b": []}
    host.all_networks.append("ovms-edge-server")
