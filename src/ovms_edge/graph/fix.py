"""``ovms-edge graph check --fix``: the graph that was meant, where that is clear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ovms_edge.errors import EdgeError
from ovms_edge.finding import Finding, has_errors
from ovms_edge.graph.check import check_graph
from ovms_edge.graph.checks.report import unanswered
from ovms_edge.graph.fixes.edits import apply_edits, option_edits, removal
from ovms_edge.graph.fixes.locate import Located, entries_named, locate_options
from ovms_edge.graph.fixes.options import MendedOptions, Option, mend_options, note
from ovms_edge.graph.fixes.source import Source, read_source
from ovms_edge.graph.text.schema import LLM_OPTIONS_MESSAGE
from ovms_edge.graph.text.syntax import Message, print_message, quote
from ovms_edge.graph.text.tokens import comment_lines
from ovms_edge.ovms.graph import OPTIONS_INDENT, graph_around

_CALCULATOR = "HttpLLMCalculator"
_NODE_NAME = "LLMExecutor"  # as graph_around writes it
# They open a session with one model of OVMS; a language model is loaded by its own calculator.
_SESSION_CALCULATORS = {"ModelAPISessionCalculator", "OpenVINOModelServerSessionCalculator"}
# Fields that the graph written anew has instead of those found
_REWRITTEN = {
    "node", "name", "calculator", "node_options", "input_stream", "output_stream", "input_side_packet",
    "output_side_packet", "input_stream_info", "input_stream_handler",
}  # fmt: skip
# No field of any OVMS: openvinotoolkit/mediapipe sync_set_input_stream_handler.proto has sync_set alone
_NO_FIELD = "sync_wait_time"
# What a graph whose options are of no known type was written for: OVMS itself would take the CPU.
_MEANT_DEVICE = "GPU"


@dataclass(frozen=True)
class Fixed:
    """The mended ``text``, what was done and why, and the findings that are left in it."""

    text: str
    changes: list[str]
    left: list[Finding]


def fix_graph(text: str, ovms_version: str) -> Fixed:
    """Return the graph that ``text`` means, for ``ovms_version``.

    Single fields are changed in place, so comments and layout stay; a graph whose structure OVMS does not
    load, or with which it cannot answer, is written anew around its options. A good graph comes back byte
    for byte. Raises EdgeError where the intent is not clear: no language model's graph, several models, text
    that is no form of a graph.
    """
    source = read_source(text)
    located = locate_options(source.tree)
    if source.in_text:
        edited, changes = _edit_in_place(source, located, ovms_version)
        in_place = Fixed(edited, [*source.changes, *changes], check_graph(edited, ovms_version))
        loads = not has_errors(in_place.left)
        if loads and not (located and unanswered(in_place.left)):
            return in_place
        try:
            anew = _write_anew(source, located, ovms_version)
        except EdgeError:
            if loads:
                return in_place
            raise
        # where that mends nothing the structure was right, and what is left is the user's to decide
        return anew if _faults(anew) < _faults(in_place) else in_place
    return _write_anew(source, located, ovms_version)


def _faults(fixed: Fixed) -> tuple[int, int]:
    return sum(finding.severity == "error" for finding in fixed.left), unanswered(fixed.left)


def _edit_in_place(source: Source, located: Sequence[Located], ovms_version: str) -> tuple[str, list[str]]:
    edits = []
    changes: list[str] = []
    for options in located:
        if options.as_ovms_writes:
            mended = mend_options(options.message, ovms_version)
            edits += option_edits(source.text, options.message, mended.options)
            changes += mended.changes
    for entry in entries_named(source.tree, _NO_FIELD):
        edits.append(removal(entry, source.text))
        changes.append(note(entry, f"{_NO_FIELD} dropped: the handler has no such field"))
    return apply_edits(source.text, edits), changes


def _write_anew(source: Source, located: Sequence[Located], ovms_version: str) -> Fixed:
    options = _only_options(source.tree, located)
    mended = mend_options(options.message, ovms_version)
    changes = [
        *source.changes,
        *_structure(source.tree, options),
        *_renamed_type(options),
        *mended.changes,
        *_lost(source),
    ]
    foreign = options.type and not options.as_ovms_writes
    if foreign and not any(option.name == "device" for option in mended.options):
        mended.options.append(Option("device", quote(_MEANT_DEVICE)))
        changes.append(
            f"device set to {_MEANT_DEVICE}: none was set, and OVMS would take CPU; set CPU if you mean it"
        )
    text = graph_around(_printed(mended))
    return Fixed(text, changes, check_graph(text, ovms_version))


def _printed(mended: MendedOptions) -> str:
    return print_message(mended.as_message(), OPTIONS_INDENT).removesuffix("\n")


def _only_options(tree: Message, located: Sequence[Located]) -> Located:
    without_options = _CALCULATOR in [entry.text for entry in entries_named(tree, "calculator")]
    if not located and not without_options:
        raise EdgeError(
            f"the graph is not that of a language model: no {_CALCULATOR} and none of its options",
            "render one: ovms-edge graph render --set device=GPU cache_size=4",
        )
    for node in entries_named(tree, "node"):
        if not isinstance(node.value, Message):
            continue
        calculator = "".join(node.value.texts("calculator"))
        if not locate_options(node.value) and calculator not in {_CALCULATOR, *_SESSION_CALCULATORS}:
            raise EdgeError(
                note(
                    node,
                    f"the graph has a node {calculator or 'with no calculator'} besides the language model",
                ),
                "mend the structure by hand: a graph written anew would lose the node",
            )
    if not located:
        return Located(Message(()), LLM_OPTIONS_MESSAGE)
    first, *others = located
    if any(_plain(other.message) != _plain(first.message) for other in others):
        raise EdgeError(
            f"the graph has {len(located)} sets of options for a language model, and they differ",
            "keep one node in it: one graph serves one model",
        )
    return first


def _plain(message: Message) -> list[tuple[str, object]]:
    return [
        (entry.name, _plain(entry.value) if isinstance(entry.value, Message) else entry.value)
        for entry in message.entries
    ]


def _renamed_type(options: Located) -> list[str]:
    if options.as_ovms_writes:
        return []
    if not options.type:
        return [f"options put into {LLM_OPTIONS_MESSAGE}: they stood where OVMS knows none"]
    return [f"{options.type} replaced by {LLM_OPTIONS_MESSAGE}: no OVMS has such a message"]


def _lost(source: Source) -> list[str]:
    """Return what else the graph written anew has not: names, nodes and comments."""
    nodes = [entry for entry in entries_named(source.tree, "node") if isinstance(entry.value, Message)]
    changes = []
    for index, node in enumerate(nodes):
        if not isinstance(node.value, Message):
            continue
        if any(locate_options(before.value) for before in nodes[:index] if isinstance(before.value, Message)):
            changes.append(note(node, "node dropped: its options are those of the one before"))
            continue
        changes += [
            note(name, f'node name "{name.text}" is now "{_NODE_NAME}": the graph is written anew')
            for name in node.value.named("name")
            if isinstance(name.value, str) and name.text != _NODE_NAME
        ]
    lines = comment_lines(source.text) if source.in_text else []
    if lines:
        of = f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
        changes.append(f"{of}: comments dropped: the graph is written anew")
    return changes


def _structure(tree: Message, options: Located) -> list[str]:
    changes = [
        note(entry, f"{entry.text} replaced by {_CALCULATOR}: it opens a session with a plain model")
        for entry in entries_named(tree, "calculator")
        if entry.text in _SESSION_CALCULATORS
    ]
    changes += [
        note(entry, f"{entry.name} dropped: config.json says it, and the graph lies in the model's directory")
        for name in ("servable_name", "servable_version", "base_path")
        for entry in entries_named(tree, name)
        if entry not in options.message.entries
    ]
    changes.append(f"streams, loop and input handler written as {_CALCULATOR} needs them")
    containers = [
        tree,
        *(node.value for node in entries_named(tree, "node") if isinstance(node.value, Message)),
    ]
    changes += [
        note(entry, f"{entry.name} dropped: the graph is written anew")
        for container in containers
        for entry in container.entries
        if entry.name not in _REWRITTEN and entry not in options.message.entries
    ]
    return changes
