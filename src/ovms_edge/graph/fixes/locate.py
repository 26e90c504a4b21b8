"""Where in a tree the options of a language model are, whatever they are called and wherever they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from ovms_edge.graph.fixes.fields import all_field_names, snake_case
from ovms_edge.graph.text.schema import LLM_OPTIONS_MESSAGE, graph_files
from ovms_edge.graph.text.syntax import Entry, Message

_MEDIAPIPE = LLM_OPTIONS_MESSAGE.partition(".")[0]
_LLM_OPTIONS = re.compile(r"\[(?:[\w.]+/)?(?P<type>[\w.]*LLM\w*Options)\]")


@dataclass(frozen=True)
class Located:
    """Options of a language model; ``type`` is their message's name, empty where they have none."""

    message: Message
    type: str

    @property
    def as_ovms_writes(self) -> bool:
        """Whether they are of the type that OVMS knows."""
        return self.type == LLM_OPTIONS_MESSAGE


def locate_options(tree: Message) -> list[Located]:
    """Return all options of language models in ``tree``, in file order."""
    found: list[Located] = []
    names = all_field_names()
    own: list[Entry] = []
    if any(snake_case(entry.name) in names for entry in tree.entries):
        # what is neither an option nor a part of a graph may be an option with a typing error
        own = [entry for entry in tree.entries if entry.name not in _graph_names() and entry.name[0] != "["]
        found.append(Located(Message(tuple(own), tree.end), ""))
    for entry in tree.entries:
        if not isinstance(entry.value, Message) or entry in own:
            continue
        if match := _LLM_OPTIONS.fullmatch(entry.name):
            found.append(Located(entry.value, match["type"]))
        elif not entry.name.startswith("[") or entry.name.endswith(".ext]"):
            found += locate_options(entry.value)
    return found


@cache
def _graph_names() -> frozenset[str]:
    """Return the names of all fields of a graph outside of a language model's options."""
    return frozenset(
        field.name
        for file in graph_files({})
        for message in file.message_type
        for field in message.field
        if file.package == _MEDIAPIPE
    )


def entries_named(tree: Message, name: str) -> list[Entry]:
    """Return every entry called ``name``, at any depth."""
    found: list[Entry] = []
    for entry in tree.entries:
        if entry.name == name:
            found.append(entry)
        if isinstance(entry.value, Message):
            found += entries_named(entry.value, name)
    return found
