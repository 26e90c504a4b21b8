"""config.json: schema and path rules
(v2025.4.1 src/schema.cpp, src/mediapipe_internal/mediapipegraphconfig.cpp)."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import fastjsonschema

from ovms_standin.status import StatusCode, StatusError

logger = logging.getLogger("modelmanager")
_READ_TRIES = 3
_READ_RETRY_SECONDS = 0.01

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_FLAG = {"type": "boolean"}
_TEXT_OR_TEXTS = {"oneOf": [{"type": "object", "additionalProperties": _TEXT}, _TEXT]}


def _strict(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def _list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_VERSION_POLICY = {
    "oneOf": [
        _strict(["all"], all=_strict([])),
        _strict(["latest"], latest=_strict(["num_versions"], num_versions={"type": "integer", "minimum": 1})),
        _strict(
            ["specific"],
            specific=_strict(["versions"], versions=_list_of({"type": "integer", "minimum": 1})),
        ),
    ]
}
_GRAPH = {"name": _TEXT, "base_path": _TEXT, "graph_path": _TEXT, "subconfig": _TEXT}
_MODEL = _strict(
    ["name"],
    **_GRAPH,
    batch_size={"type": ["integer", "string"], "minimum": 0},
    model_version_policy=_VERSION_POLICY,
    shape=_TEXT_OR_TEXTS,
    layout=_TEXT_OR_TEXTS,
    nireq=_COUNT,
    target_device=_TEXT,
    allow_cache=_FLAG,
    plugin_config={"type": "object", "additionalProperties": {"type": ["string", "boolean", "number"]}},
    stateful=_FLAG,
    idle_sequence_cleanup=_FLAG,
    low_latency_transformation=_FLAG,
    max_sequence_number=_COUNT,
    custom_loader_options={
        "type": "object",
        "required": ["loader_name"],
        "properties": {"loader_name": _TEXT},
    },
)
_ANYTHING = {"type": "array", "items": {"type": "object"}}  # kinds of servable that the stand-in has not
_check_schema = fastjsonschema.compile(
    _strict(
        ["model_config_list"],
        model_config_list=_list_of(_strict(["config"], config=_MODEL)),
        mediapipe_config_list=_list_of(_strict(["name"], **_GRAPH)),
        pipeline_config_list=_ANYTHING,
        custom_loader_config_list=_ANYTHING,
        custom_node_library_config_list=_ANYTHING,
        monitoring=_strict(
            ["metrics"], metrics=_strict(["enable"], enable=_FLAG, metrics_list=_list_of(_TEXT))
        ),
    )
)


@dataclass(frozen=True)
class GraphEntry:
    """One graph of the configuration: its name, base directory and graph file."""

    name: str
    base_path: Path
    graph_file: Path


@dataclass(frozen=True)
class Configuration:
    """``models`` are the entries without a readable graph: OVMS takes them for classic models."""

    graphs: tuple[GraphEntry, ...]
    models: dict[str, Path]
    metrics: dict[str, Any] | None


def digest(file: Path) -> str:
    """Return what tells OVMS that a file changed; raises OSError."""
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def read(file: Path) -> Configuration:
    """Read and check the file; raises StatusError CONFIG_FILE_INVALID or JSON_INVALID."""
    document = _read_json(file)
    try:
        _check_schema(document)
    except fastjsonschema.JsonSchemaValueException as error:
        logger.error("Configuration file is not in valid configuration format")
        raise StatusError(StatusCode.JSON_INVALID, error.message) from error
    root = file.parent
    graphs = [_graph_entry(node, root) for node in document.get("mediapipe_config_list", [])]
    models: dict[str, Path] = {}
    for node in (item["config"] for item in document["model_config_list"]):
        entry = find_graph(_graph_entry(node, root))
        if entry is not None:
            graphs.append(entry)
        else:
            models.setdefault(node["name"], _base_path(node, root))
    return Configuration(tuple(graphs), models, document.get("monitoring", {}).get("metrics"))


def find_graph(entry: GraphEntry) -> GraphEntry | None:
    """Return the entry if its graph file opens, or the one in ``1/`` below it, else None."""
    versioned = GraphEntry(entry.name, entry.base_path / "1", entry.base_path / "1" / "graph.pbtxt")
    for candidate in (entry, versioned):
        try:
            candidate.graph_file.open("rb").close()
        except OSError as error:
            logger.debug("Graph: %s path: %s does not exist: %s", entry.name, candidate.graph_file, error)
        else:
            return candidate
    return None


def _read_json(file: Path) -> Any:
    for _ in range(_READ_TRIES - 1):
        try:
            return _parse(file)
        except StatusError:
            time.sleep(_READ_RETRY_SECONDS)  # it may be half written
    return _parse(file)


def _parse(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes().decode("utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        logger.error("Configuration file is invalid %s: %s", file, error.strerror)
        raise StatusError(StatusCode.CONFIG_FILE_INVALID, str(file)) from error
    except ValueError as error:
        logger.error("Configuration file is not a valid JSON file. Error: %s", error)
        raise StatusError(StatusCode.JSON_INVALID, str(error)) from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")  # RapidJSON takes neither NaN nor a byte order mark


def _base_path(node: dict[str, Any], root: Path) -> Path:
    base: str = node.get("base_path", node["name"])
    return root / base


def _graph_entry(node: dict[str, Any], root: Path) -> GraphEntry:
    base = _base_path(node, root)
    return GraphEntry(node["name"], base, base / node.get("graph_path", "graph.pbtxt"))
