"""Plain YAML: mappings with text as keys, lists and scalars. For files of a hundred thousand hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

_TEXT = "tag:yaml.org,2002:str"
_TYPED = {f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "null", "timestamp")}


class NotPlainError(Exception):
    """The text has tags, anchors or keys that are there twice, or is no YAML."""


def read_plain(text: str) -> Any:
    """Return what PyYAML's safe loader does, in a fraction of its time and memory; raises NotPlainError."""
    try:
        events = yaml.parse(text, Loader=yaml.CSafeLoader)
        kinds = [type(next(events, None)) for _ in range(2)]
        if kinds != [yaml.StreamStartEvent, yaml.DocumentStartEvent]:
            raise NotPlainError("it is empty")
        value = _Reader(events).value(next(events))
        if [type(event) for event in events] != [yaml.DocumentEndEvent, yaml.StreamEndEvent]:
            raise NotPlainError("it is more than one document")
    except (yaml.YAMLError, ValueError) as error:
        raise NotPlainError(str(error)) from error
    return value


class _Reader:
    """Makes values of events. PyYAML makes nodes first, which is most of its time and memory."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._loader = yaml.SafeLoader("")
        self._typed: dict[str, Any] = {}

    def value(self, event: Any) -> Any:
        kind = type(event)
        if kind is yaml.AliasEvent or event.anchor:
            raise NotPlainError("it has an anchor")
        if kind is yaml.ScalarEvent:
            return self._scalar(event)
        if not event.implicit:
            raise NotPlainError(f"it has a tag, {event.tag}")
        return self._mapping() if kind is yaml.MappingStartEvent else self._list()

    def _scalar(self, event: Any) -> Any:
        plain, quoted = event.implicit
        text: str = event.value
        if quoted and not plain:
            return text
        if not plain:
            raise NotPlainError(f"it has a tag, {event.tag}")
        if text[:1] not in self._loader.yaml_implicit_resolvers:  # what can be nothing but text
            return text
        if text not in self._typed:
            self._typed[text] = self._resolve(text)
        return self._typed[text]

    def _resolve(self, text: str) -> Any:
        tag = self._loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        if tag == _TEXT:
            return text
        if tag not in _TYPED:
            raise NotPlainError(f"it has {text!r}")
        return self._loader.construct_object(yaml.ScalarNode(tag, text))

    def _list(self) -> list[Any]:
        values = []
        for event in self._events:
            if type(event) is yaml.SequenceEndEvent:
                break
            values.append(self.value(event))
        return values

    def _mapping(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for event in self._events:
            if type(event) is yaml.MappingEndEvent:
                break
            key = self.value(event)
            if not isinstance(key, str) or key in values:
                raise NotPlainError(f"it has a key {key!r}, twice or no text")
            values[key] = self.value(next(self._events))
        return values
