"""What ``config.json`` may hold, per OVMS version, as a JSON schema (draft 4: OVMS's validator is one).

Sources: openvinotoolkit/model_server, src/schema.cpp at the tags v2024.4 to v2026.3.
"""

from __future__ import annotations

from typing import Any

from ovms_edge.ovms.fields import fields_for

Schema = dict[str, Any]
Version = tuple[int, ...]

GRAPHS_AMONG_MODELS = (2025, 1)  # a graph may stand in model_config_list; base_path may be left out there
NO_STATEFUL_MODELS = (2026, 3)

GRAPH_KEYS = ("name", "base_path", "graph_path", "subconfig")
STATEFUL_KEYS = ("stateful", "idle_sequence_cleanup", "low_latency_transformation", "max_sequence_number")

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FROM_ONE: Schema = {"type": "integer", "minimum": 1}
_DEMULTIPLY: Schema = {"type": "integer", "minimum": -1, "maximum": 10000}
_TEXT_OR_TEXTS: Schema = {"type": ["string", "object"], "additionalProperties": _TEXT}


def version_tuple(version: str) -> Version:
    """Return ``2025.4.1`` as numbers; raises EdgeError for a version that is not known."""
    fields_for(version)
    return tuple(int(part) for part in version.split("."))


def config_schema(version: Version) -> Schema:
    """Return the schema of the whole file."""
    return _object(
        ["model_config_list"],
        model_config_list=_list_of(_object(["config"], config=_model(version))),
        mediapipe_config_list=_list_of(_object(["name"], **dict.fromkeys(GRAPH_KEYS, _TEXT))),
        pipeline_config_list=_list_of(_PIPELINE),
        custom_loader_config_list=_list_of(_object(["config"], config=_LOADER)),
        custom_node_library_config_list=_list_of(_object(["name", "base_path"], name=_TEXT, base_path=_TEXT)),
        monitoring=_object(
            ["metrics"], metrics=_object(["enable"], enable=_FLAG, metrics_list=_list_of(_TEXT))
        ),
    )


def _model(version: Version) -> Schema:
    properties = dict(_MODEL)
    if version >= GRAPHS_AMONG_MODELS:
        properties |= {"graph_path": _TEXT, "subconfig": _TEXT}
    if version < NO_STATEFUL_MODELS:
        properties |= _STATEFUL
    return _object(["name"] if version >= GRAPHS_AMONG_MODELS else ["name", "base_path"], **properties)


def _object(required: list[str], **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema  # draft 4 knows no empty list there


def _list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _one_of_these_keys(**properties: Schema) -> Schema:
    return {**_object([], **properties), "minProperties": 1, "maxProperties": 1}


_MODEL = {
    "name": _TEXT,
    "base_path": _TEXT,
    "batch_size": {"type": ["integer", "string"], "minimum": 0},
    "model_version_policy": _one_of_these_keys(
        all=_object([]),
        specific=_object(["versions"], versions=_list_of(_FROM_ONE)),
        latest=_object(["num_versions"], num_versions=_FROM_ONE),
    ),
    "shape": _TEXT_OR_TEXTS,
    "layout": _TEXT_OR_TEXTS,
    "nireq": _COUNT,
    "target_device": _TEXT,
    "allow_cache": _FLAG,
    "plugin_config": {"type": "object", "additionalProperties": {"type": ["string", "boolean", "number"]}},
    "custom_loader_options": {
        "type": "object",
        "required": ["loader_name"],
        "properties": {"loader_name": _TEXT},
    },
}
_STATEFUL = dict.fromkeys(STATEFUL_KEYS[:-1], _FLAG) | {STATEFUL_KEYS[-1]: _COUNT}

_SOURCES: Schema = {
    "type": "object",
    "additionalProperties": _object(["node_name", "data_item"], node_name=_TEXT, data_item=_TEXT),
    "minProperties": 1,
    "maxProperties": 1,
}
_NODE: Schema = _object(
    ["name", "type", "inputs", "outputs"],
    name=_TEXT,
    model_name=_TEXT,
    library_name=_TEXT,
    type={"type": "string", "enum": ["DL model", "custom"]},
    version=_FROM_ONE,
    inputs=_list_of(_SOURCES),
    outputs=_list_of(_object(["data_item", "alias"], data_item=_TEXT, alias=_TEXT)),
    params={"type": "object", "additionalProperties": _TEXT},
    demultiply_count=_DEMULTIPLY,
    gather_from_node=_TEXT,
) | {
    "oneOf": [
        {
            "properties": {"type": {"enum": [kind]}},
            "required": [wanted],
            "not": {"required": [unwanted]},
        }
        for kind, wanted, unwanted in (
            ("custom", "library_name", "model_name"),
            ("DL model", "model_name", "library_name"),
        )
    ]
}
_PIPELINE = _object(
    ["name", "nodes", "inputs", "outputs"],
    name=_TEXT,
    nodes=_list_of(_NODE),
    inputs=_list_of(_TEXT),
    outputs=_list_of(_SOURCES),
    demultiply_count=_DEMULTIPLY,
)
_LOADER = _object(
    ["loader_name", "library_path"], loader_name=_TEXT, library_path=_TEXT, loader_config_file=_TEXT
)
