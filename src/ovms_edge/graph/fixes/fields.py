"""Fields that this OVMS does not know: those of other versions, of its export tool, and typing errors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain

from ovms_edge.graph.fixes.values import only_near
from ovms_edge.graph.text.syntax import Entry, Message, quote
from ovms_edge.ovms.fields import KNOWN_VERSIONS, Fields, fields_for

# Options of demos/common/export_models/export_model.py, v2025.4.1, which its graph spells differently
PROPERTY_ALIASES = {"kv_cache_precision": "KV_CACHE_PRECISION", "ov_cache_dir": "CACHE_DIR"}
_FIELD_ALIASES = {"target_device": "device"}

# response_parser stood for both: model_server v2025.2 src/llm/response_parsers, v2025.3 src/llm/io_processing
_RESPONSE_PARSERS = {
    "llama3": {"tool_parser": "llama3"},
    "hermes3": {"tool_parser": "hermes3"},
    "phi4": {"tool_parser": "phi4"},
    "qwen3": {"tool_parser": "hermes3", "reasoning_parser": "qwen3"},
}

# No OVMS since 2024.5 does anything with it (model_server v2024.5 src/llm/llm_calculator.proto)
_WITHOUT_EFFECT = {"block_size": "the device chooses the size of a KV block since OVMS 2024.5"}
_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")


@dataclass(frozen=True)
class Carried:
    """What stands for an unknown field: other fields with their literals (none: it is dropped), and why."""

    fields: tuple[tuple[str, Message | str], ...]
    why: str


def all_field_names() -> frozenset[str]:
    """Return the names that any OVMS knows, aliases included."""
    known = chain.from_iterable(fields_for(version) for version in KNOWN_VERSIONS)
    return frozenset(known) | PROPERTY_ALIASES.keys() | _FIELD_ALIASES.keys()


def carry_over(entry: Entry, siblings: Message, fields: Fields) -> Carried | None:
    """Return what ``entry``, unknown to this version, becomes; None where that is not clear."""
    name = snake_case(entry.name)
    meant = _FIELD_ALIASES.get(name, name)
    if meant in fields:
        return _renamed(entry, meant, siblings, "so OVMS spells it")
    if name in _WITHOUT_EFFECT:
        return Carried((), _WITHOUT_EFFECT[name])
    if name == "response_parser":
        return _split_parser(entry, fields)
    if name in ("tool_parser", "reasoning_parser") and "response_parser" in fields:
        return _joined_parser(entry, siblings)
    known_by = [version for version in KNOWN_VERSIONS if name in fields_for(version)]
    if known_by:
        if _changes_nothing(entry, name, known_by):
            return Carried((), "this OVMS does not have it, and the value is its default")
        return None
    near = only_near(name, tuple(fields))
    return _renamed(entry, near, siblings, "a typing error") if near else None


def snake_case(name: str) -> str:
    """Return a name of JSON's camelCase as protobuf's text format writes it."""
    return name if name.isupper() else _CAMEL.sub(lambda match: f"_{match[1].lower()}", name)


def _renamed(entry: Entry, name: str, siblings: Message, why: str) -> Carried | None:
    return None if siblings.named(name) else Carried(((name, entry.value),), why)


def _split_parser(entry: Entry, fields: Fields) -> Carried | None:
    parsers = _RESPONSE_PARSERS.get(entry.text)
    if parsers is None or not all(name in fields for name in parsers):
        return None
    return Carried(
        tuple((name, quote(value)) for name, value in parsers.items()),
        "OVMS 2025.3 split response_parser in two",
    )


def _joined_parser(entry: Entry, siblings: Message) -> Carried | None:
    given = {name: text for name in ("tool_parser", "reasoning_parser") for text in siblings.texts(name)}
    for response_parser, parsers in _RESPONSE_PARSERS.items():
        if parsers == given:
            if entry is not next(sibling for sibling in siblings.entries if sibling.name in given):
                return Carried((), "response_parser stands for both")
            return Carried(
                (("response_parser", quote(response_parser)),), "OVMS 2025.2 has one field for both"
            )
    return None


def _changes_nothing(entry: Entry, name: str, known_by: list[str]) -> bool:
    defaults = {fields_for(version)[name].default for version in known_by}
    return defaults != {None} and {_shown(default) for default in defaults} == {entry.text}


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)
