"""``plugin_config`` as it was meant: OVMS wants one JSON object as text, people write it in other ways."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.graph.text.syntax import Entry, Message, quote, unquote
from ovms_edge.ovms.graph import plugin_config_object

# Models are mounted read-only there, and an unwritable CACHE_DIR fails the load; the user of OVMS's image
# (uid 5000) owns this home (model_server v2025.4.1, Dockerfile.ubuntu).
_READ_ONLY = "/models"
_WRITABLE_CACHE = "/home/ovms/cache"
_JSON_NAMES = {"true": True, "false": False, "null": None}
_OPENING = re.compile(r"plugin_config\s*:\s*(?P<mark>[\"'])(?=\s*\{)")


def is_json_object(literal: Message | str) -> bool:
    """Return whether OVMS takes the value as it stands (empty text is no properties)."""
    if isinstance(literal, Message) or literal[0] not in "\"'":
        return False
    text = unquote(literal)
    try:
        return text == "" or isinstance(json.loads(text), dict)
    except ValueError:
        return False


def properties_of(entries: Iterable[Entry]) -> dict[str, Any] | None:
    """Return the properties that all ``plugin_config`` entries together mean, None where that is not clear.

    A value is the text of an object in JSON or in Python's notation, a message with ``key`` and ``value``, or
    a message whose fields are the properties. One property with two values is not clear.
    """
    properties: dict[str, Any] = {}
    for entry in entries:
        found = _of_message(entry.value) if isinstance(entry.value, Message) else object_of(entry.text)
        if found is None:
            return None
        for key, value in found.items():
            if properties.setdefault(key, value) != value:
                return None
    try:
        return plugin_config_object(properties)
    except EdgeError:
        return None


def object_of(text: str) -> dict[str, Any] | None:
    """Return the object that ``text`` writes, in JSON or as Python would, None if it writes none."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        value = _python_object(text)
    return value if isinstance(value, dict) else None


def writable_cache(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the properties with a CACHE_DIR that OVMS can write to."""
    cache = properties.get("CACHE_DIR")
    if not isinstance(cache, str) or not f"{cache}/".startswith(f"{_READ_ONLY}/"):
        return properties
    return {**properties, "CACHE_DIR": _WRITABLE_CACHE}


def literal_of(properties: dict[str, Any]) -> str:
    """Return the literal that OVMS reads as ``properties``."""
    return quote(json.dumps(properties))


def requote(text: str) -> str:
    """Return ``text`` with every plugin_config that its own quotes or line ends break made one literal."""
    position = 0
    while opening := _OPENING.search(text, position):
        position = opening.end()
        for closing in re.finditer(r"\}\s*" + opening["mark"], text[position:]):
            body = text[position : position + closing.end() - 1]
            found = object_of(body)
            if found is not None:
                start, end = position - 1, position + closing.end()
                text = text[:start] + literal_of(found) + text[end:]
                break
    return text


def _of_message(message: Message) -> dict[str, Any] | None:
    names = {entry.name for entry in message.entries}
    if names == {"key", "value"} and len(message.entries) == 2:
        (key,), values = message.texts("key") or ("",), message.named("value")
        return {key: _property(values[0])} if key else None
    if len(names) != len(message.entries):
        return None
    return {entry.name: _property(entry) for entry in message.entries}


def _property(entry: Entry) -> Any:
    if isinstance(entry.value, Message):
        return _of_message(entry.value)
    if entry.value[0] in "\"'":
        return entry.text
    try:
        return json.loads(entry.value.lower())
    except ValueError:
        return entry.value


def _python_object(text: str) -> Any:
    try:
        return _constant(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # all that ast.parse raises for any text
        return None


def _constant(node: ast.expr) -> Any:
    if isinstance(node, ast.Dict):
        keys = [_constant(key) for key in node.keys if key is not None]
        values = [_constant(value) for value in node.values]
        if len(keys) != len(values) or not all(isinstance(key, str) for key in keys):
            raise ValueError("no object")
        return dict(zip(keys, values, strict=True))
    if isinstance(node, ast.Name) and node.id in _JSON_NAMES:
        return _JSON_NAMES[node.id]
    return ast.literal_eval(node)
