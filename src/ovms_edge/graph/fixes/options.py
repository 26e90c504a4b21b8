"""The options of an LLM node as they were meant, each change with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ovms_edge.graph.fixes.fields import PROPERTY_ALIASES, carry_over, snake_case
from ovms_edge.graph.fixes.plugin_config import is_json_object, literal_of, properties_of, writable_cache
from ovms_edge.graph.fixes.values import mend_value
from ovms_edge.graph.text.syntax import Entry, Message, quote
from ovms_edge.ovms.fields import Fields, fields_for
from ovms_edge.ovms.graph import MODELS_PATH

_PLUGIN_CONFIG = "plugin_config"
# Experimental messages of 2025.1 with a models_path of their own (model_server v2025.1 llm_calculator.proto)
_NAME_THE_MODEL = (
    "continuous_batching_pipeline_config",
    "visual_language_model_pipeline_config",
    "llm_pipeline_config",
)


@dataclass(frozen=True)
class Option:
    """An option as it should stand; ``source`` is the entry that it comes from, None for a new one."""

    name: str
    value: Message | str
    source: Entry | None = None


@dataclass
class MendedOptions:
    """The options of one message, in file order, and what was done to them."""

    options: list[Option] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    def as_message(self) -> Message:
        """Return the options as a message for ``print_message``."""
        return Message(tuple(Entry(option.name, option.value, 0, 0, 0, 0) for option in self.options))


def mend_options(message: Message, ovms_version: str) -> MendedOptions:
    """Return the options that ``message`` means for ``ovms_version``; what is not clear stays as it is."""
    fields = fields_for(ovms_version)
    mended = MendedOptions()
    _mend_fields(message, fields, mended)
    if not any(option.name in ("models_path", *_NAME_THE_MODEL) for option in mended.options):
        mended.options.insert(0, Option("models_path", quote(MODELS_PATH)))
        mended.changes.append(f"models_path set to {MODELS_PATH}: OVMS requires it, and the graph lies there")
    return mended


def note(entry: Entry, text: str) -> str:
    """Return ``text`` with the line of ``entry`` before it, where it has one."""
    return f"line {entry.line}: {text}" if entry.line else text


def _mend_fields(message: Message, fields: Fields, mended: MendedOptions) -> None:
    properties = [entry for entry in message.entries if _is_property(entry, fields)]
    for entry in message.entries:
        if entry in properties:
            if entry is properties[0]:
                _mend_plugin_config(properties, mended)
        elif entry.name in fields:
            _mend_known(entry, fields, mended)
        elif carried := carry_over(entry, message, fields):
            first = len(mended.options)
            for name, value in carried.fields:
                _mend_known(replace(entry, name=name, value=value), fields, mended)
            mended.options[first:] = [replace(option, source=entry) for option in mended.options[first:]]
            outcome = (
                f"written as {', '.join(name for name, _ in carried.fields)}" if carried.fields else "dropped"
            )
            mended.changes.append(note(entry, f"{entry.name} {outcome}: {carried.why}"))
        else:
            mended.options.append(Option(entry.name, entry.value, entry))


def _is_property(entry: Entry, fields: Fields) -> bool:
    if _PLUGIN_CONFIG not in fields:
        return False
    name = snake_case(entry.name)
    return name == _PLUGIN_CONFIG or (name in PROPERTY_ALIASES and name not in fields)


def _mend_plugin_config(entries: list[Entry], mended: MendedOptions) -> None:
    first = entries[0]
    if len(entries) == 1 and first.name == _PLUGIN_CONFIG and is_json_object(first.value):
        mended.options.append(Option(_PLUGIN_CONFIG, first.value, first))
        return
    properties = properties_of(_as_plugin_config(entry) for entry in entries)
    if properties is None:
        mended.options += [Option(entry.name, entry.value, entry) for entry in entries]
        return
    written = writable_cache(properties)
    mended.options.append(Option(_PLUGIN_CONFIG, literal_of(written), first))
    mended.changes.append(
        note(first, f"{_PLUGIN_CONFIG} written as one JSON object: {', '.join(written) or 'empty'}")
    )
    if written != properties:
        cache, was = written["CACHE_DIR"], properties["CACHE_DIR"]
        mended.changes.append(note(first, f"CACHE_DIR {was} is now {cache}: OVMS cannot write to {was}"))


def _as_plugin_config(entry: Entry) -> Entry:
    key = PROPERTY_ALIASES.get(snake_case(entry.name))
    if key is None:
        return entry
    return replace(entry, value=Message((replace(entry, name=key),)))


def _mend_known(entry: Entry, fields: Fields, mended: MendedOptions) -> None:
    value, changes = _meant(entry, fields)
    if any(option.name == entry.name and option.value == value for option in mended.options):
        mended.changes.append(note(entry, f"{entry.name} dropped: it stands there twice with the same value"))
        return
    mended.options.append(Option(entry.name, value, entry))
    mended.changes += changes


def _meant(entry: Entry, fields: Fields) -> tuple[Message | str, list[str]]:
    """Return the value that was meant, and what was changed for it."""
    known = fields[entry.name]
    if known.message is not None and isinstance(entry.value, Message):
        inner = MendedOptions()
        _mend_fields(entry.value, known.message, inner)
        return (inner.as_message() if inner.changes else entry.value), inner.changes
    if meant := mend_value(known, entry):
        literal, why = meant
        return literal, [note(entry, f"{entry.name} {entry.value} is now {literal}: {why}")]
    return entry.value, []
