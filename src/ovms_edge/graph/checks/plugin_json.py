"""``plugin_config`` as OVMS's JSON parser reads it (model_server src/json_parser.cpp, rapidjson)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

DEVICE_PROPERTIES = "DEVICE_PROPERTIES"
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def plugin_properties(text: str) -> object:
    """Return the JSON value of ``text``, of no text an empty object; raises ValueError if it is no JSON."""
    if not text:
        return {}
    return json.loads(text, parse_constant=_no_constant)


def faults(properties: object) -> Iterator[str]:
    """Yield what OVMS refuses with PLUGIN_CONFIG_WRONG_FORMAT."""
    if not isinstance(properties, dict):
        yield f"it is {_kind(properties)}, no object"
        return
    for key, value in properties.items():
        if key == DEVICE_PROPERTIES and isinstance(value, dict):
            for device, of_device in value.items():
                if not isinstance(of_device, dict):
                    yield f"{key} of {device} is {_kind(of_device)}, no object"
                    continue
                yield from _scalars(of_device, f"{key} {device} ")
        else:
            yield from _scalars({key: value}, "")


def _scalars(properties: Mapping[str, object], prefix: str) -> Iterator[str]:
    for key, value in properties.items():
        if isinstance(value, str | float | bool):
            continue
        if isinstance(value, int):
            if not _SMALLEST <= value <= _LARGEST:
                yield f"{prefix}{key} is too large a number"
            continue
        yield f"{prefix}{key} is {_kind(value)}, neither text, number, true nor false"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else f"{value!r}"


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
