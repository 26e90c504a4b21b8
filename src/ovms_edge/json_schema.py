"""The part of JSON Schema that expectations need. Standard library only: store nodes judge with it.

Keywords and their meaning: JSON Schema 2020-12, Validation (json-schema.org). One that is not known here is
refused and never ignored: an expectation that is not checked would be a gate that cannot say no.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ovms_edge.errors import EdgeError

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool)
        and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
}
_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool], str]] = {
    "minimum": ("number", lambda value, bound: value >= bound, "is below"),
    "maximum": ("number", lambda value, bound: value <= bound, "is above"),
    "minLength": ("string", lambda value, bound: len(value) >= bound, "is shorter than"),
    "maxLength": ("string", lambda value, bound: len(value) <= bound, "is longer than"),
    "minItems": ("array", lambda value, bound: len(value) >= bound, "has fewer entries than"),
    "maxItems": ("array", lambda value, bound: len(value) <= bound, "has more entries than"),
}
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
_NOTES = ("$schema", "title", "description")
_KEYWORDS = (
    *("type", "enum", "const", "pattern", "required", "properties", "additionalProperties", "items"),
    *_BOUNDS,
    *_NOTES,
)


def check_schema(schema: object, where: str = "json_schema") -> None:
    """Raise EdgeError if ``schema`` is not one that ``violation`` can hold a value against."""
    if not isinstance(schema, dict):
        raise _unusable(where, f"is {schema!r}", "an object")
    for keyword, value in schema.items():
        if keyword not in _KEYWORDS:
            raise _unusable(where, f"has the keyword {keyword!r}", f"one of {', '.join(sorted(_KEYWORDS))}")
        _check_keyword(keyword, value, f"{where}.{keyword}")


def violation(schema: Mapping[str, Any], value: object, where: str = "$") -> str | None:
    """Return what of ``value`` is not as ``schema`` says, by its path from ``$``; None if it conforms."""
    named = schema.get("type")
    types = [named] if isinstance(named, str) else named
    if types is not None and not any(_TYPES[entry](value) for entry in types):
        return f"{where} is {_shown(value)}, not {' or '.join(types)}"
    if "const" in schema and not _same(value, schema["const"]):
        return f"{where} is {_shown(value)}, not {_shown(schema['const'])}"
    if "enum" in schema and not any(_same(value, entry) for entry in schema["enum"]):
        return f"{where} is {_shown(value)}, none of {', '.join(map(_shown, schema['enum']))}"
    for keyword, (kind, good, what) in _BOUNDS.items():
        if keyword in schema and _TYPES[kind](value) and not good(value, schema[keyword]):
            return f"{where} {what} {schema[keyword]}: {_shown(value)}"
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        return f"{where} does not match {schema['pattern']!r}: {_shown(value)}"
    if isinstance(value, dict):
        return _object_violation(schema, value, where)
    if isinstance(value, list) and "items" in schema:
        found = (violation(schema["items"], entry, f"{where}[{at}]") for at, entry in enumerate(value))
        return next((text for text in found if text), None)
    return None


def _object_violation(schema: Mapping[str, Any], value: Mapping[str, Any], where: str) -> str | None:
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        return f"{where} lacks {', '.join(missing)}"
    properties, further = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, entry in value.items():
        inner = properties.get(name, further)
        if inner is False:
            return f"{where} has {name!r}, which nobody asked for"
        text = None if inner is True else violation(inner, entry, f"{where}.{name}")
        if text:
            return text
    return None


def _check_keyword(keyword: str, value: object, where: str) -> None:
    if keyword == "type":
        names = value if isinstance(value, list) else [value]
        if not names or not all(isinstance(name, str) and name in _TYPES for name in names):
            raise _unusable(where, f"is {value!r}", f"one or a list of {', '.join(_TYPES)}")
    elif keyword in ("enum", "required"):
        strings = keyword == "required"
        if not isinstance(value, list) or (strings and not all(isinstance(entry, str) for entry in value)):
            raise _unusable(where, f"is {value!r}", "a list of names" if strings else "a list")
    elif keyword == "pattern":
        check_pattern(value, where)
    elif keyword == "properties":
        if not isinstance(value, dict):
            raise _unusable(where, f"is {value!r}", "an object of schemas")
        for name, inner in value.items():
            check_schema(inner, f"{where}.{name}")
    elif keyword == "items" or (keyword == "additionalProperties" and not isinstance(value, bool)):
        check_schema(value, where)
    elif keyword in _COUNTS and (not _TYPES["integer"](value) or value < 0):  # type: ignore[operator]
        raise _unusable(where, f"is {value!r}", "a whole number from 0 on")
    elif keyword in _BOUNDS and not _TYPES["number"](value):
        raise _unusable(where, f"is {value!r}", "a number")


def check_pattern(value: object, where: str) -> None:
    """Raise EdgeError if ``value`` is no regular expression of Python's ``re``."""
    try:
        re.compile(value)  # type: ignore[call-overload]
    except (re.error, TypeError) as error:
        raise _unusable(where, f"is {value!r} ({error})", "a regular expression") from error


def _same(value: object, other: object) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)  # in Python True == 1


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unusable(where: str, found: str, wanted: str) -> EdgeError:
    return EdgeError(f"{where} {found}", f"write {wanted}")
