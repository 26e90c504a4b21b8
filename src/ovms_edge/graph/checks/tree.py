"""A graph as its tree says it, with no schema: its streams can be checked even if protobuf refuses it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ovms_edge.graph.text.schema import LLM_OPTIONS_MESSAGE
from ovms_edge.graph.text.syntax import Entry, Message

SYNC_SET_OPTIONS = "[mediapipe.SyncSetInputStreamHandlerOptions.ext]"


@dataclass(frozen=True)
class TreeNode:
    """One ``node`` of a graph; ``entry`` is where it stands."""

    entry: Entry
    message: Message

    @cached_property
    def name(self) -> str:
        """Its name, empty if it has none."""
        return next(iter(self.message.texts("name")), "")

    @cached_property
    def calculator(self) -> str:
        """Its calculator, empty if it names none."""
        return next(iter(self.message.texts("calculator")), "")

    def strings(self, field: str) -> tuple[Entry, ...]:
        """Return the entries of a repeated string."""
        return tuple(entry for entry in self.message.named(field) if isinstance(entry.value, str))

    @cached_property
    def node_options(self) -> tuple[Entry, ...]:
        """The messages in its ``node_options``, one each, named by their type URL."""
        return tuple(
            options.entries[0] for options in self.message.messages("node_options") if options.entries
        )

    @cached_property
    def llm_options(self) -> Entry | None:
        """The LLMCalculatorOptions that OVMS reads: those of the first ``node_options``, if they are some."""
        if self.node_options and is_llm_options(self.node_options[0]):
            return self.node_options[0]
        return None


@dataclass(frozen=True)
class TreeGraph:
    """The tree of a whole graph."""

    message: Message

    @cached_property
    def nodes(self) -> tuple[TreeNode, ...]:
        """Its nodes, in file order."""
        return tuple(
            TreeNode(entry, entry.value)
            for entry in self.message.named("node")
            if isinstance(entry.value, Message)
        )

    def strings(self, field: str) -> tuple[Entry, ...]:
        """Return the entries of a repeated string."""
        return tuple(entry for entry in self.message.named(field) if isinstance(entry.value, str))


def is_llm_options(entry: Entry) -> bool:
    """Return whether the entry is an Any of LLMCalculatorOptions."""
    named = entry.name[1:-1].rpartition("/")[2] == LLM_OPTIONS_MESSAGE
    return named and isinstance(entry.value, Message)
