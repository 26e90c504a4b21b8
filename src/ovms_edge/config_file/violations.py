"""What OVMS's schema refuses, in words that say what to do.

OVMS itself logs the first violation only, as a pointer into its schema (model_server v2025.4.1,
src/schema.cpp validateJsonAgainstSchema).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft4Validator

from ovms_edge.config_file.document import Document, JsonPath, line_and_column, show_path
from ovms_edge.config_file.schema import (
    GRAPH_KEYS,
    GRAPHS_AMONG_MODELS,
    NO_STATEFUL_MODELS,
    STATEFUL_KEYS,
    Schema,
    Version,
    config_schema,
)
from ovms_edge.finding import Finding

JSON_INVALID = "JSON_INVALID"
AT_START = "it ends at start; at a reload it keeps what it serves"
_LOGGED = f'OVMS logs "Configuration file is not in valid configuration format"; {AT_START}'
_COMMENT_MARKS = ("_", "#", "//", "$comment", "comment")
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    type(None): "null",
}
_TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
}


@dataclass(frozen=True)
class _Violation:
    """A keyword of the schema, with its value, that ``found`` at ``path`` breaks."""

    keyword: str
    wanted: Any
    found: Any
    path: JsonPath
    known_keys: list[str]


def schema_findings(document: Document, version: Version) -> list[Finding]:
    """Return a finding for each violation of the schema of OVMS ``version``."""
    found = [
        finding
        for violation in _violations(document, version)
        for finding in _findings(violation, document, version)
    ]
    return list(dict.fromkeys(found))


def _violations(document: Document, version: Version) -> Iterator[_Violation]:
    for error in Draft4Validator(config_schema(version)).iter_errors(document.value):
        schema: Any = error.schema  # the stubs allow true and false, which config_schema has not
        path = tuple(error.absolute_path)
        keys = list(schema.get("properties", {}))
        yield _Violation(str(error.validator), error.validator_value, error.instance, path, keys)


def repeated_key_findings(document: Document, version: Version) -> list[Finding]:
    """Return a finding for each key given again."""
    schema = config_schema(version)
    return [_repeated(document, path, offset, schema) for path, offset in document.repeated]


def _subschema(schema: Schema, path: JsonPath) -> Schema:
    """Return what counts at ``path``; an empty schema takes anything."""
    for step in path:
        inner = schema.get("items") if isinstance(step, int) else schema.get("properties", {}).get(step)
        inner = inner or schema.get("additionalProperties")
        schema = inner if isinstance(inner, dict) else {}
    return schema


def _repeated(document: Document, path: JsonPath, offset: int, schema: Schema) -> Finding:
    place = line_and_column(document.text, offset)
    if _holds_one_key(path[:-1]):
        message = f"{path[-1]!r} stands twice in an object that may hold one key: {_LOGGED}"
        return Finding("error", JSON_INVALID, message, "keep one of them", *place, show_path(path))
    for violation in Draft4Validator(_subschema(schema, path)).iter_errors(document.later[offset]):
        message = f"{path[-1]!r} stands twice, and OVMS checks this one, too ({violation.message}): {_LOGGED}"
        return Finding("error", JSON_INVALID, message, "keep one of them", *place, show_path(path))
    message = f"{path[-1]!r} stands twice: OVMS takes the first, and never reads this one"
    return Finding("warning", "repeated_key", message, "keep one of them", *place, show_path(path))


def _holds_one_key(parent: JsonPath) -> bool:
    """Return whether OVMS counts the members of the object at ``parent``, and allows one."""
    entry = parent[:-1] in (("model_config_list",), ("custom_loader_config_list",))
    return entry or parent[-1:] in (("monitoring",), ("model_version_policy",), ("latest",), ("specific",))


def _findings(violation: _Violation, document: Document, version: Version) -> Iterator[Finding]:
    path, known = violation.path, violation.known_keys
    where = show_path(path) or "the file"
    match violation.keyword:
        case "additionalProperties":
            for key in sorted(set(violation.found) - set(known)):
                fix, place = _fix_for_key(key, path, known, version), document.key_place((*path, key))
                yield _error(f"{where} may not hold {key!r}", fix, place, (*path, key))
        case "required":
            for key in violation.wanted:
                if key not in violation.found:
                    yield _error(f"{where} has no {key!r}", _fix_missing(key), document.place(path), path)
        case _:
            message, fix = _wrong_value(violation, where)
            yield _error(message, fix, document.place(path), path)


def _error(message: str, fix: str, place: tuple[int, int], path: JsonPath) -> Finding:
    return Finding("error", JSON_INVALID, f"{message}: {_LOGGED}", fix, *place, show_path(path))


def _fix_missing(key: str) -> str:
    if key == "model_config_list":
        return 'add "model_config_list": [] (OVMS wants it, empty or not)'
    if key == "config":
        return 'write the entry as {"config": {"name": ..., "base_path": ...}}'
    return f"add {key!r}"


def _fix_for_key(key: str, path: JsonPath, known: list[str], version: Version) -> str:
    among_models = len(path) == 3 and path[0] == "model_config_list"
    if key.lower().startswith(_COMMENT_MARKS):
        return "remove it: OVMS accepts no comment in its configuration"
    if key == "endpoint_path":
        return "remove it: the metrics are at /metrics of the REST port"
    if among_models and key in ("graph_path", "subconfig") and version < GRAPHS_AMONG_MODELS:
        return "move the graph to mediapipe_config_list: model_config_list takes graphs since OVMS 2025.1"
    if among_models and key in STATEFUL_KEYS and version >= NO_STATEFUL_MODELS:
        return "remove it: OVMS has no stateful models since 2026.3"
    if len(path) == 2 and path[0] == "model_config_list":
        return f"move {key!r} into 'config', the only key of an entry"
    if path[:1] == ("mediapipe_config_list",):
        return f"remove it: a graph's entry holds {', '.join(GRAPH_KEYS)}; the rest is in graph.pbtxt"
    close = difflib.get_close_matches(key, known, n=1)
    return f"write {close[0]!r}" if close else f"remove it: allowed are {', '.join(known) or 'none'}"


def _wrong_value(violation: _Violation, where: str) -> tuple[str, str]:
    found, wanted = violation.found, violation.wanted
    match violation.keyword:
        case "type":
            types = " or ".join(_TYPES[name] for name in ([wanted] if isinstance(wanted, str) else wanted))
            return f"{where} is {_KINDS[type(found)]} ({_short(found)}), not {types}", f"write {types}"
        case "minimum":
            return f"{where} is {found}, less than {wanted}", f"write {wanted} or more"
        case "maximum":
            return f"{where} is {found}, more than {wanted}", f"write {wanted} or less"
        case "enum":
            return f"{where} is {_short(found)}", f"write one of {', '.join(map(repr, wanted))}"
        case "minProperties":
            return f"{where} is empty", "put one key into it"
        case "maxProperties":
            return f"{where} holds {len(found)} keys, not one", "keep one of them"
        case _:  # the only other one is a node's type
            fix = "give a node of type 'DL model' a model_name, one of type 'custom' a library_name, no other"
            return f"{where} has not what its type needs", fix


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."
