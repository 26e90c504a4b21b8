"""The options of one LLM node, as OVMS has them: what the graph sets, and the defaults of the version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ovms_edge.graph.checks.tree import TreeNode
from ovms_edge.graph.text.syntax import Entry, Message
from ovms_edge.graph.text.values import value_of
from ovms_edge.ovms.fields import Field, Fields, Scalar


@dataclass(frozen=True)
class Options:
    """A message of options: ``fields`` that this OVMS knows, ``entries`` that the graph sets."""

    fields: Fields
    entries: Mapping[str, Entry]

    def has(self, name: str) -> bool:
        """Return whether the graph sets the option, to a value that this OVMS can read."""
        return self.entry(name) is not None

    def entry(self, name: str) -> Entry | None:
        """Return where the option is set, None if it is not, or not to a value."""
        entry = self.entries.get(name)
        if entry is None or self._field(name) is None:
            return None
        if isinstance(entry.value, Message):
            return entry if self.fields[name].message is not None else None
        return entry if value_of(entry, self.fields[name]) is not None else None

    def value(self, name: str) -> Scalar | None:
        """Return the option's value or its default; None if this OVMS has none, or does not know it."""
        field = self._field(name)
        if field is None:
            return None
        entry = self.entries.get(name)
        value = value_of(entry, field) if entry is not None else None
        return field.default if value is None else value

    def text(self, name: str) -> str:
        """Return the option's value as text, empty if it is not set."""
        value = self.value(name)
        return "" if value is None else str(value)

    def number(self, name: str) -> int:
        """Return the option's value as a number, 0 if it is not set."""
        value = self.value(name)
        return int(value) if isinstance(value, int) else 0

    def message(self, name: str) -> Options | None:
        """Return a nested message, None if the graph does not set it."""
        entry, field = self.entry(name), self._field(name)
        if entry is None or field is None or field.message is None or not isinstance(entry.value, Message):
            return None
        return options_of(entry.value, field.message)

    def _field(self, name: str) -> Field | None:
        return self.fields.get(name)


@dataclass(frozen=True)
class LlmNode:
    """A node with its options; ``index`` is its place among the graph's nodes."""

    index: int
    node: TreeNode
    options: Options
    at: Entry


def options_of(message: Message, fields: Fields) -> Options:
    """Return the options in ``message``; of one that is given twice the last, as protobuf does."""
    return Options(fields, {entry.name: entry for entry in message.entries})
