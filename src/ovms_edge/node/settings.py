"""Server settings: what OVMS is to be on this node, as ``activate`` is given them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.node.known_keys import checked_object
from ovms_edge.ovms.config import render_config
from ovms_edge.ovms.fields import fields_for
from ovms_edge.ovms.graph import check_options
from ovms_edge.ovms.memory import Tier

LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR")

_DEVICE = re.compile(r"CPU|GPU(\.\d+)?")
# Settings of their own: given in ``graph`` too, two values could contradict each other.
_NOT_IN_GRAPH = ("device", "cache_size")


@dataclass(frozen=True)
class ServerSettings:
    """What OVMS is to be on this node. Sizes in GiB, times in seconds; None is computed."""

    image: str
    ovms_version: str = "2025.4.1"
    servable: str = "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8"
    device: str = "GPU"
    cache_size: int | None = None
    graph: dict[str, Any] = field(default_factory=dict)
    memory_limit_gib: int | None = None
    log_level: str = "INFO"
    start_timeout_seconds: int = 600
    answer_timeout_seconds: int = 360
    drain_timeout_seconds: int = 360
    tier: Tier | None = None

    def document(self) -> dict[str, Any]:
        """Return the settings as the JSON document they came from."""
        return asdict(self)


def parse_server_settings(content: object) -> ServerSettings:
    """Check a server settings document; raises UsageError for an unknown key or a value that cannot be."""
    known = tuple(entry.name for entry in fields(ServerSettings))
    document = checked_object(content, known, "server setting")
    if "image" not in document:
        raise UsageError(
            "server setting image is missing",
            "name the OVMS image, such as HOST:PORT/openvino/model_server:TAG",
        )
    _check_types(document)
    settings = ServerSettings(**document)
    _check_values(settings)
    _check_graph(settings)
    return settings


_SECONDS = ("start_timeout_seconds", "answer_timeout_seconds", "drain_timeout_seconds")
_WHOLE_OR_NONE = ("cache_size", "memory_limit_gib")


def _check_types(document: Mapping[str, Any]) -> None:
    for key, value in document.items():
        if key in (*_WHOLE_OR_NONE, "tier") and value is None:
            continue
        if key in _SECONDS or key in _WHOLE_OR_NONE:
            good, wanted = isinstance(value, int) and not isinstance(value, bool), "a whole number"
        elif key == "graph":
            good, wanted = isinstance(value, dict), "an object of graph options"
        else:
            good, wanted = isinstance(value, str) and value != "", "text"
        if not good:
            raise UsageError(f"server setting {key} is {value!r}", f"set it to {wanted}")


def _check_values(settings: ServerSettings) -> None:
    def require(good: bool, key: str, wanted: str) -> None:
        if not good:
            raise UsageError(f"server setting {key} is {getattr(settings, key)!r}", f"set it to {wanted}")

    fields_for(settings.ovms_version)
    render_config(settings.servable, settings.servable)
    parts = settings.servable.split("/")
    require(
        all(part not in ("", ".", "..") for part in parts), "servable", "a name that is a plain relative path"
    )
    require(settings.tier in (None, "A", "B"), "tier", "A (two models fit), B (one), or null")
    require(
        bool(_DEVICE.fullmatch(settings.device)),
        "device",
        "GPU, GPU.<n> or CPU (an NPU cannot run this model)",
    )
    require(settings.log_level in LOG_LEVELS, "log_level", f"one of {', '.join(LOG_LEVELS)}")
    require(
        settings.memory_limit_gib is None or settings.memory_limit_gib > 0, "memory_limit_gib", "1 or more"
    )
    for key in _SECONDS:
        require(getattr(settings, key) > 0, key, "1 or more")


def _check_graph(settings: ServerSettings) -> None:
    for key in _NOT_IN_GRAPH:
        if key in settings.graph:
            raise UsageError(f"server setting graph holds {key}", f"set {key} beside graph, not in it")
    try:
        check_options(settings.graph, settings.ovms_version)
    except EdgeError as error:
        raise UsageError(error.reason, error.remedy) from error
