"""``graph.pbtxt``: the MediaPipe graph that makes OVMS serve one language model.

Structure: model_server v2025.4.1, demos/common/export_models/export_model.py (the template of its own
export tool) and src/llm/http_llm_calculator.cc (the loopback).
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.ovms.fields import KNOWN_VERSIONS, Field, Fields, fields_for

# Relative to the directory that holds graph.pbtxt, as OVMS resolves it (src/llm/servable_initializer.cpp).
MODELS_PATH = "./"

OPTIONS_INDENT = " " * 6

_LIMITS = {"uint32": 2**32 - 1, "uint64": 2**64 - 1}

_GRAPH = """\
input_stream: "HTTP_REQUEST_PAYLOAD:input"
output_stream: "HTTP_RESPONSE_PAYLOAD:output"

node: {{
  name: "LLMExecutor"
  calculator: "HttpLLMCalculator"
  input_stream: "LOOPBACK:loopback"
  input_stream: "HTTP_REQUEST_PAYLOAD:input"
  input_side_packet: "LLM_NODE_RESOURCES:llm"
  output_stream: "LOOPBACK:loopback"
  output_stream: "HTTP_RESPONSE_PAYLOAD:output"
  input_stream_info: {{
    tag_index: 'LOOPBACK:0'
    back_edge: true
  }}
  node_options: {{
    [type.googleapis.com/mediapipe.LLMCalculatorOptions]: {{
{options}
    }}
  }}
  input_stream_handler {{
    input_stream_handler: "SyncSetInputStreamHandler"
    options {{
      [mediapipe.SyncSetInputStreamHandlerOptions.ext] {{
        sync_set {{
          tag_index: "LOOPBACK:0"
        }}
      }}
    }}
  }}
}}
"""


def render_graph(options: Mapping[str, Any], ovms_version: str) -> str:
    """Return the text of ``graph.pbtxt``.

    ``options`` are fields of ``LLMCalculatorOptions``; ``device`` and ``cache_size`` (GiB) must be among
    them, because OVMS's own defaults for both differ between versions. ``plugin_config`` is an object (or
    its JSON text). ``models_path`` is always ``./``. Raises EdgeError as ``check_options`` does.
    """
    check_options(options, ovms_version)
    for name in ("device", "cache_size"):
        if name not in options:
            raise EdgeError(
                f"graph option {name} is not set, and its default is not the same in every OVMS",
                f"give {name} a value",
            )
    fields = fields_for(ovms_version)
    values = {**options, "models_path": MODELS_PATH}
    ordered = [name for name in fields if name in values]
    return graph_around("\n".join(_lines(fields, values, ordered, indent=OPTIONS_INDENT)))


def graph_around(options: str) -> str:
    """Return the graph of one language model; ``options`` are the lines of its LLMCalculatorOptions."""
    return _GRAPH.format(options=options)


def check_options(options: Mapping[str, Any], ovms_version: str) -> None:
    """Raise EdgeError if OVMS ``ovms_version`` would refuse a graph with ``options``.

    Names, types, ranges, enum values and required fields of nested messages are compared with the field
    matrix. ``models_path`` is not an option: it is always ``./``.
    """
    fields = fields_for(ovms_version)
    if "models_path" in options:
        raise EdgeError("graph option models_path cannot be set", f"remove it: it is always {MODELS_PATH}")
    _check_message(options, fields, ovms_version, prefix="")


def plugin_config_object(value: object) -> dict[str, Any]:
    """Return ``plugin_config`` as an object, given as one or as JSON text (empty text: no properties)."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except ValueError as error:
            raise EdgeError(
                f"graph option plugin_config is not JSON: {error}",
                "write it as an object such as {KV_CACHE_PRECISION: u8}",
            ) from error
    if not isinstance(value, dict):
        raise EdgeError(
            f"graph option plugin_config is {value!r}",
            "write it as an object such as {KV_CACHE_PRECISION: u8}",
        )
    _check_properties(value, "plugin_config")
    return value


def _check_properties(properties: dict[str, Any], path: str) -> None:
    """Refuse what src/json_parser.cpp of v2025.4.1 refuses with PLUGIN_CONFIG_WRONG_FORMAT."""
    for key, entry in properties.items():
        if path == "plugin_config" and key == "DEVICE_PROPERTIES" and isinstance(entry, dict):
            for device, of_device in entry.items():
                if not isinstance(of_device, dict):
                    raise EdgeError(
                        f"{path} {key} {device} is {of_device!r}",
                        'write DEVICE_PROPERTIES as {"DEVICE": {"KEY": value}}',
                    )
                _check_properties(of_device, f"{path} {key} {device}")
        elif not _is_property(entry):
            raise EdgeError(
                f"{path} {key} is {entry!r}",
                "use text, a number, true or false; only DEVICE_PROPERTIES is an object",
            )


def _is_property(entry: object) -> bool:
    if isinstance(entry, float):
        return math.isfinite(entry)  # JSON has no other
    if isinstance(entry, int):
        return -(2**63) <= entry < 2**63
    return isinstance(entry, str)


def _check_message(values: Mapping[str, Any], fields: Fields, ovms_version: str, prefix: str) -> None:
    for name, value in values.items():
        if name not in fields:
            raise _unknown(prefix + name, name, fields, ovms_version)
        _check_value(prefix + name, value, fields[name], ovms_version)
    if prefix:
        for field in fields.values():
            if field.required and field.name not in values:
                raise EdgeError(f"graph option {prefix}{field.name} is missing", "OVMS requires it: set it")


def _check_value(path: str, value: object, field: Field, ovms_version: str) -> None:
    expected = _expectation(value, field)
    if expected:
        raise EdgeError(f"graph option {path} is {value!r}", f"set it to {expected}")
    if field.message is not None and isinstance(value, Mapping):
        _check_message(value, field.message, ovms_version, prefix=f"{path}.")
    if path == "plugin_config":
        plugin_config_object(value)


def _expectation(value: object, field: Field) -> str | None:
    """Return what the field wants, if ``value`` is not it."""
    if field.name == "plugin_config":
        return None
    if field.type in _LIMITS:
        whole = isinstance(value, int) and not isinstance(value, bool)
        limit = _LIMITS[field.type]
        return None if whole and 0 <= int(str(value)) <= limit else f"a whole number from 0 to {limit}"
    if field.type == "bool":
        return None if isinstance(value, bool) else "true or false"
    if field.type == "float":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if number else "a number"
    if field.type == "enum":
        return None if value in field.choices else f"one of {', '.join(field.choices)}"
    if field.type == "message":
        return None if isinstance(value, Mapping) else f"an object with {', '.join(field.message or ())}"
    return None if isinstance(value, str) else "text"


def _unknown(path: str, name: str, fields: Fields, ovms_version: str) -> EdgeError:
    known_by = [version for version in KNOWN_VERSIONS if name in fields_for(version)]
    close = difflib.get_close_matches(name, fields, n=1)
    if known_by:
        remedy = (
            f"remove it: only OVMS {', '.join(known_by)} knows it, and this version refuses the whole graph"
        )
    elif close:
        remedy = f"did you mean {close[0]}?"
    else:
        remedy = f"use one of {', '.join(option for option in fields if option != 'models_path')}"
    return EdgeError(f"graph option {path} is unknown to OVMS {ovms_version}", remedy)


def _lines(fields: Fields, values: Mapping[str, Any], names: list[str], indent: str) -> list[str]:
    lines: list[str] = []
    for name in names:
        field, value = fields[name], values[name]
        if field.message is not None:
            inner = [known for known in field.message if known in value]
            lines += [f"{indent}{name}: {{", *_lines(field.message, value, inner, indent + "  ")]
            lines.append(f"{indent}}}")
        else:
            lines.append(f"{indent}{name}: {_literal(field, value)}")
    return lines


def _literal(field: Field, value: object) -> str:
    if field.name == "plugin_config":
        # single quotes spare the escapes of every quote in the JSON
        text = json.dumps(plugin_config_object(value), sort_keys=True)
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if field.type == "bool":
        return "true" if value else "false"
    if field.type == "string":
        return json.dumps(str(value), ensure_ascii=False)
    return str(value)
