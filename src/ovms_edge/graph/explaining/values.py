"""Every option of an OVMS version with its effective value, and where that comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ovms_edge.graph.fixes.locate import locate_options
from ovms_edge.graph.reader import read_graph
from ovms_edge.graph.text.syntax import Entry, Message, parse
from ovms_edge.ovms.fields import Fields, fields_for

Origin = Literal["graph", "default", "load", "unset"]

# What OVMS finds out when it loads the model (model_server v2026.3 src/llm/servable_initializer.cpp,
# .../continuous_batching/servable_initializer.cpp); other options without a default are off when not set.
_FOUND_AT_LOAD = {"device", "cache_interval_multiplier", "chat_template_mode"}


@dataclass(frozen=True)
class Effective:
    """One option: set in the graph (at ``line``), a default, found by OVMS at ``load``, or not set."""

    path: str
    value: Any
    origin: Origin
    line: int | None = None

    def source(self, ovms_version: str) -> str:
        """Return where the value comes from, in words."""
        if self.origin == "graph":
            return f"line {self.line}"
        return {"default": f"default of {ovms_version}", "load": "OVMS at load"}.get(self.origin, "not set")


def effective_options(text: str, ovms_version: str) -> list[Effective]:
    """Return all options that ``ovms_version`` has, fields of set messages among them as ``a.b``.

    Raises EdgeError if this OVMS cannot parse ``text`` as a graph.
    """
    explicit = read_graph(text, ovms_version).llm_options
    located = next((found for found in locate_options(parse(text)) if found.as_ovms_writes), None)
    tree = located.message if located else Message(())
    return list(_effective(fields_for(ovms_version), explicit, tree, prefix=""))


def _effective(
    fields: Fields, explicit: Mapping[str, Any], tree: Message, prefix: str
) -> Iterator[Effective]:
    entries: dict[str, Entry] = {entry.name: entry for entry in tree.entries}
    for name, field in fields.items():
        path, entry = prefix + name, entries.get(name)
        if name not in explicit or entry is None:
            unset: Origin = "load" if name in _FOUND_AT_LOAD else "unset"
            yield Effective(path, field.default, unset if field.default is None else "default")
        elif field.message is not None and isinstance(entry.value, Message):
            yield Effective(path, "on", "graph", entry.line)
            yield from _effective(field.message, explicit[name], entry.value, f"{path}.")
        else:
            yield Effective(path, explicit[name], "graph", entry.line)
