"""The text that somebody meant as a graph, as a tree: also where it is JSON or a template not filled in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import SandboxedEnvironment

from ovms_edge.errors import EdgeError
from ovms_edge.graph.fixes.fields import snake_case
from ovms_edge.graph.fixes.plugin_config import requote
from ovms_edge.graph.text.syntax import Entry, GraphSyntaxError, Message, parse, quote
from ovms_edge.ovms.graph import MODELS_PATH

_BYTE_ORDER_MARK = "\ufeff"
# What demos/common/export_models/export_model.py, v2025.4.1, fills in where its user says nothing; the
# other defaults are in its template.
_TEMPLATE_DEFAULTS = {"model_path": MODELS_PATH, "dynamic_split_fuse": True}


@dataclass(frozen=True)
class Source:
    """``text`` parses to ``tree``, unless ``in_text`` is false: then the tree has no places in it."""

    text: str
    tree: Message
    changes: tuple[str, ...] = ()
    in_text: bool = True


def read_source(text: str) -> Source:
    """Return what ``text`` is. Raises EdgeError, with the place, where it is neither of the known forms."""
    changes: list[str] = []
    if text.startswith(_BYTE_ORDER_MARK):
        text = text.removeprefix(_BYTE_ORDER_MARK)
        changes.append("byte order mark dropped: protobuf does not read past it")
    problem: EdgeError | None = None
    try:
        tree = parse(text)
        if not _has_template_text(tree):
            return Source(text, tree, tuple(changes))
    except GraphSyntaxError as error:
        problem = error
    if text.lstrip().startswith("{") and (document := _json_object(text)) is not None:
        tree = _message_of(document)
        return Source(text, tree, (*changes, "JSON written as protobuf's text format"), in_text=False)
    for repair, change in (
        (requote, "plugin_config put into one pair of quotes on one line"),
        (
            _fill_in,
            "template filled in with the defaults of OVMS's export_model.py: it had never been rendered",
        ),
    ):
        repaired = repair(text)
        if repaired != text:
            text = repaired
            changes.append(change)
            try:
                return Source(text, parse(text), tuple(changes))
            except GraphSyntaxError as error:
                problem = error
    reason = problem.reason if problem else "it is a template that jinja2 cannot fill in"
    raise EdgeError(f"cannot tell what the graph means: {reason}", "correct the text at this place")


def _has_template_text(tree: Message) -> bool:
    return any(
        _has_template_text(entry.value) if isinstance(entry.value, Message) else "{{" in entry.value
        for entry in tree.entries
    )


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _message_of(document: dict[str, Any]) -> Message:
    if isinstance(kind := document.get("@type"), str):  # how protobuf's JSON writes an Any
        rest = {key: value for key, value in document.items() if key != "@type"}
        return Message((_entry(f"[{kind.replace(' ', '')}]", _message_of(rest)),))
    entries: list[Entry] = []
    for key, value in document.items():
        name = key.replace(" ", "") if key.startswith("[") else snake_case(key)
        if name == "plugin_config" and isinstance(value, dict):
            entries.append(_entry(name, quote(json.dumps(value))))
            continue
        for single in value if isinstance(value, list) else [value]:
            if single is not None:
                entries.append(_entry(name, _value_of(single)))
    return Message(tuple(entries))


def _value_of(value: Any) -> Message | str:
    if isinstance(value, dict):
        return _message_of(value)
    return quote(value) if isinstance(value, str) else json.dumps(value)


def _entry(name: str, value: Message | str) -> Entry:
    return Entry(name, value, 0, 0, 0, 0)


def _fill_in(text: str) -> str:
    if "{%" not in text and "{{" not in text:
        return text
    try:
        return SandboxedEnvironment(keep_trailing_newline=True).from_string(text).render(_TEMPLATE_DEFAULTS)
    except TemplateError:
        return text
