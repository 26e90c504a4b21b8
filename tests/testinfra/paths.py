"""Owner (uid, gid) and mode of what the roles leave on a store, as docs/contracts.md says."""

from __future__ import annotations

from typing import Any

ROOT = (0, 0)
SERVER = (5000, 5000)

Wanted = tuple[tuple[int, int], str]

# {state_dir} is what the node's settings say.
FILES: dict[str, dict[str, Wanted]] = {
    "docker_engine": {
        "/etc/docker/daemon.json": (ROOT, "0644"),
        "/root/.docker": (ROOT, "0700"),
        "/root/.docker/config.json": (ROOT, "0600"),
    },
    "node_agent": {
        "/usr/local/bin/ovms-node": (ROOT, "0755"),
        "/etc/ovms-edge": (ROOT, "0755"),
        "/etc/ovms-edge/node.json": (ROOT, "0644"),
        "/etc/ovms-edge/allowed_signers": (ROOT, "0644"),
        "/etc/systemd/system/ovms-edge-tend.service": (ROOT, "0644"),
        "/etc/systemd/system/ovms-edge-tend.timer": (ROOT, "0644"),
    },
    "ovms_gateway": {
        "/etc/ovms-edge/gateway.json": (ROOT, "0644"),
        "/etc/ovms-edge/gateway": (ROOT, "0755"),
        "/etc/ovms-edge/gateway/haproxy.cfg": (ROOT, "0644"),
        "/etc/systemd/system/ovms-edge-gateway.service": (ROOT, "0644"),
        "/run/ovms-edge-gateway": (ROOT, "0755"),
    },
    "model_release": {
        "{state_dir}": (ROOT, "0755"),
        "{state_dir}/releases": (ROOT, "0755"),
        "{state_dir}/staging": (ROOT, "0700"),
        "{state_dir}/journal.jsonl": (ROOT, "0600"),
    },
    "ovms_server": {
        "/run/ovms-edge-gateway/route": (ROOT, "0644"),
        "{state_dir}/models": (ROOT, "0755"),
        "{state_dir}/cache": (SERVER, "0750"),
        "{state_dir}/state.json": (ROOT, "0600"),
        "{state_dir}/status.json": (ROOT, "0644"),
    },
    # What was there before, and must be as it was.
    "store": {
        "/etc": (ROOT, "0755"),
        "/usr": (ROOT, "0755"),
        "/usr/local/bin": (ROOT, "0755"),
        "/var/lib": (ROOT, "0755"),
        "/root": (ROOT, "0700"),
    },
}


def every_path() -> list[str]:
    return [path for files in FILES.values() for path in files]


def assert_owner_and_mode(evidence: dict[str, Any], path: str, wanted: Wanted) -> None:
    found = evidence["files"][path]
    assert found is not None, f"{path} is missing"
    assert ((found["uid"], found["gid"]), found["mode"]) == wanted
