"""A node's status as Prometheus text, for node_exporter's textfile collector. No I/O.

https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4. What is not known has no sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

_PREFIX = "ovms_edge_"
_ROUTES = ("a", "b", "hold")

Sample = tuple[dict[str, object], "float | int | None"]


def prometheus_text(status: Mapping[str, Any]) -> str:
    """Return the document of ``ovms-node status`` as metrics; sizes in bytes, times in seconds since 1970."""
    families = (*_serving(status), *_gate(status["gate"]), *_switches(status), *_storage(status))
    return "".join(_family(*family) for family in families)


Family = tuple[str, str, str, Iterable[Sample]]


def _serving(status: Mapping[str, Any]) -> tuple[Family, ...]:
    active, server, route = status["active"] or {}, status["server"] or {}, status["route"]
    summary = active.get("summary", {})
    labels = {
        **{key: active.get(key) for key in ("release", "servable", "slot", "tier")},
        **{key: summary.get(key) for key in ("image", "device")},
    }
    state = server.get("state")
    return (
        ("status_timestamp_seconds", "gauge", "When this was written.", _one(_unix(status["at"]))),
        ("active_release_info", "gauge", "What is to serve here.", [(labels, 1)] if active else ()),
        (
            "active_release_since_timestamp_seconds",
            "gauge",
            "Since when that is active.",
            _one(_unix(active.get("since"))),
        ),
        (
            "server_available",
            "gauge",
            "Whether OVMS says that it can serve it.",
            _one(int(state == "AVAILABLE") if active else None),
        ),
        (
            "server_restarts_total",
            "counter",
            "How often the engine started the present container again.",
            _one(server.get("restarts")),
        ),
        (
            "gateway_route",
            "gauge",
            "Where the gateway sends requests: a slot, or hold.",
            [({"route": name}, int(name == route)) for name in _ROUTES] if route else (),
        ),
    )


def _gate(gate: Mapping[str, Any] | None) -> tuple[Family, ...]:
    last = gate or {}
    return (
        ("gate_ok", "gauge", "Whether the last gate passed.", _one(int(last["ok"]) if gate else None)),
        ("gate_timestamp_seconds", "gauge", "When the last gate ended.", _one(_unix(last.get("at")))),
        (
            "gate_passed_timestamp_seconds",
            "gauge",
            "When a gate passed last.",
            _one(_unix(last.get("passed_at"))),
        ),
        (
            "gate_warm_up_seconds",
            "gauge",
            "Time of the last gate's first question, which makes OVMS allocate its memory.",
            _one(last.get("warm_up_seconds")),
        ),
        (
            "gate_first_token_seconds",
            "gauge",
            "Time to the first token of the last gate's first answer.",
            _one(last.get("first_token_seconds")),
        ),
        (
            "gate_answer_seconds",
            "gauge",
            "Time to the end of the last gate's first answer.",
            _one(last.get("total_seconds")),
        ),
    )


def _switches(status: Mapping[str, Any]) -> tuple[Family, ...]:
    pending, counts = status["pending"], status["switches"]["counts"]
    failed = {entry["release"]: _unix(entry["at"]) for entry in status["failed"]}  # the last of each counts
    return (
        (
            "switches_total",
            "counter",
            "Switches that ended, by how.",
            [({"result": result}, count) for result, count in counts.items()],
        ),
        ("switch_pending", "gauge", "Whether one is under way or was interrupted.", _one(int(bool(pending)))),
        (
            "switch_pending_since_timestamp_seconds",
            "gauge",
            "When that began.",
            _one(_unix(pending["started"]) if pending else None),
        ),
        (
            "failed_release_timestamp_seconds",
            "gauge",
            "When a release failed here that is not tried again.",
            [({"release": release}, at) for release, at in failed.items()],
        ),
    )


def _storage(status: Mapping[str, Any]) -> tuple[Family, ...]:
    disk = status["disk"]
    path = {"path": disk["path"]}
    return (
        ("disk_size_bytes", "gauge", "Size of the state directory's disk.", [(path, disk["total_bytes"])]),
        ("disk_free_bytes", "gauge", "What may still be written there.", [(path, disk["free_bytes"])]),
        (
            "staged_release_size_bytes",
            "gauge",
            "Size of each release that is complete here.",
            [({"release": staged["release"]}, staged["bytes"]) for staged in status["releases"]],
        ),
    )


def _one(value: float | None) -> list[Sample]:
    return [({}, value)]


def _family(name: str, kind: str, meaning: str, samples: Iterable[Sample]) -> str:
    lines = [
        f"{_PREFIX}{name}{_labels(labels)} {value!r}\n" for labels, value in samples if value is not None
    ]
    if not lines:
        return ""
    return f"# HELP {_PREFIX}{name} {meaning}\n# TYPE {_PREFIX}{name} {kind}\n" + "".join(lines)


def _labels(labels: Mapping[str, object]) -> str:
    pairs = [f'{key}="{_escaped(str(value))}"' for key, value in labels.items() if value is not None]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _unix(rfc3339: str | None) -> float | None:
    """Return seconds since 1970; None for none, and for what an editor left in a state file."""
    try:
        return datetime.fromisoformat((rfc3339 or "").replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
