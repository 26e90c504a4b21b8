"""The documents of the commands as text for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ovms_edge.node.output import size_text, table


def facts_text(facts: Mapping[str, Any]) -> str:
    """Return a node's facts, a line each."""
    gpu, docker, memory, disk = facts["gpu"], facts["docker"], facts["memory"], facts["disk"]
    return table(
        [
            ("ovms-node", facts["tool"]["version"]),
            ("system", f"{facts['os']['name']}, kernel {facts['kernel']}, Python {facts['python']}"),
            (
                "memory",
                f"{size_text(memory['total_bytes'])}, {size_text(memory['available_bytes'])} available",
            ),
            (
                "disk",
                f"{disk['path']}: {size_text(disk['free_bytes'])} free of {size_text(disk['total_bytes'])}",
            ),
            ("clock", _clock(facts["clock"])),
            ("gpu", _gpu(gpu) if gpu else "none from Intel"),
            ("docker", docker["version"] or ("not running" if docker["installed"] else "not installed")),
            ("releases", ", ".join(release["release"] for release in facts["releases"]) or "none"),
            *_serving(facts),
        ]
    )


def status_text(status: Mapping[str, Any]) -> str:
    """Return what serves, a line each."""
    pending = status["pending"]
    return table(
        [
            *_serving(status),
            ("interrupted", f"activation of {pending['release']}; call activate again" if pending else None),
        ]
    )


def gate_text(gate: Mapping[str, Any]) -> str:
    """Return a gate's checks, a line each, and its verdict."""
    checks = [
        (check["id"], f"{'ok  ' if check['ok'] else 'FAIL'}  {check['detail']}") for check in gate["checks"]
    ]
    verdict = f"serves {gate['release']} as {gate['servable']}" if gate["ok"] else "does not serve"
    return f"{table(checks)}\n{verdict}" if checks else verdict


def tend_text(document: Mapping[str, Any]) -> str:
    """Return what ``tend`` found and did."""
    if "busy" in document:
        return f"nothing done: {document['busy']}"
    active = document["active"]
    if not active:
        return "nothing is active"
    return f"{active}: {', '.join(document['settled']) or 'nothing to do'}"


def change_text(document: Mapping[str, Any]) -> str:
    """Return what stage, activate or rollback changed, or would change."""
    release = document["release"]
    if not document["changed"]:
        return f"{release}: nothing to change"
    before, after = document["diff"]["before"], document["diff"]["after"]
    rows = [
        (key, f"{before.get(key, '-')} -> {value}")
        for key, value in after.items()
        if before.get(key) != value
    ]
    head = f"{release}: would change" if document.get("check") else f"{release}: changed"
    gate = f"\n{gate_text(document['gate'])}" if "gate" in document else ""
    return f"{head}\n{table(rows)}{gate}"


def _clock(clock: Mapping[str, Any]) -> str:
    return (
        f"{clock['utc']}, "
        + {True: "synchronized", False: "not synchronized", None: "kept by the host"}[clock["synchronized"]]
    )


def _gpu(gpu: Mapping[str, Any]) -> str:
    supported = "supported" if gpu["supported"] else "not supported"
    node = f"{gpu['render_node']} group {gpu['render_gid']}" if gpu["render_node"] else "no render node"
    name = f"{gpu['pci_id']} ({gpu['generation'] or 'unknown'}, {supported})"
    return f"{name}, driver {gpu['driver'] or 'none'}, {node}"


def _serving(document: Mapping[str, Any]) -> list[tuple[str, object]]:
    active, previous, server = document["active"], document["previous"], document["server"]
    if active is None:
        return [("active", "nothing")]
    return [
        ("active", f"{active['release']} as {active['servable']}, since {active['since']}"),
        ("previous", previous["release"] if previous else "nothing"),
        ("container", f"{server['container'] or 'missing'}, {server['restarts'] or 0} restarts"),
        ("OVMS", f"{server['state'] or 'does not list it'} {server['error_code'] or ''}".strip()),
    ]
