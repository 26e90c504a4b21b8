"""Does a tree of text format fit its messages? Every place where C++ protobuf says no, not only the first.

Rules: protocolbuffers/protobuf v3.19.1 (which OVMS's MediaPipe builds with), src/google/protobuf/
text_format.cc. They differ from Python's text_format, which takes what OVMS refuses: ``+5``, ``0b1``,
``1_0``, unknown escapes, any prefix of a type URL. The words are protobuf's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool

from ovms_edge.graph.text.syntax import Entry, Message
from ovms_edge.graph.text.values import (
    FALSE_WORDS,
    TRUE_WORDS,
    is_decimal,
    is_identifier,
    is_string,
    unsigned,
)

_ANY = "google.protobuf.Any"
_ANY_PREFIXES = ("type.googleapis.com/", "type.googleprod.com/")
_UNSIGNED_LIMITS = {FieldDescriptor.CPPTYPE_UINT32: 2**32 - 1, FieldDescriptor.CPPTYPE_UINT64: 2**64 - 1}
_SIGNED_LIMITS = {FieldDescriptor.CPPTYPE_INT32: 2**31, FieldDescriptor.CPPTYPE_INT64: 2**63}


@dataclass(frozen=True)
class Problem:
    """One place that protobuf refuses.

    ``wanted`` is what to do. ``field_name`` is set instead where ``message`` does not know the name.
    """

    text: str
    line: int
    column: int
    path: str
    message: str = ""
    field_name: str = ""
    wanted: str = ""


def problems(text: str, tree: Message, root: Descriptor, pool: DescriptorPool) -> Iterator[Problem]:
    """Yield what does not fit ``root``, in file order. ``text`` is what ``tree`` was parsed from."""
    return _Walk(text, pool).message(tree, root, path="", at=None)


class _Walk:
    def __init__(self, text: str, pool: DescriptorPool) -> None:
        self._text = text
        self._pool = pool

    def message(self, tree: Message, kind: Descriptor, path: str, at: Entry | None) -> Iterator[Problem]:
        seen: set[str] = set()
        for entry in tree.entries:
            inner = f"{path}.{entry.name}" if path else entry.name
            if entry.name.startswith("[") and kind.full_name == _ANY:
                yield from self._any(entry, seen, inner)
            elif entry.name.startswith("["):
                yield from self._extension(entry, kind, seen, inner)
            else:
                yield from self._field(entry, kind, seen, inner)
        missing = [f.name for f in kind.fields if f.is_required and f.full_name not in seen]
        if missing:
            place = (at.line, at.column) if at else (1, 1)
            yield Problem(
                f'Message type "{kind.full_name}" is missing required fields: {", ".join(missing)}',
                *place,
                path=f"{path}.{missing[0]}",
                wanted=f"set {' and '.join(missing)}",
            )

    def _field(self, entry: Entry, kind: Descriptor, seen: set[str], path: str) -> Iterator[Problem]:
        known = kind.fields_by_name.get(entry.name)
        if known is None:
            yield Problem(
                f'Message type "{kind.full_name}" has no field named "{entry.name}".',
                entry.line,
                entry.column,
                path,
                message=kind.full_name,
                field_name=entry.name,
            )
            return
        yield from self._value(entry, known, seen, path)

    def _value(self, entry: Entry, known: FieldDescriptor, seen: set[str], path: str) -> Iterator[Problem]:
        if known.full_name in seen and not known.is_repeated:
            yield Problem(
                f'Non-repeated field "{known.name}" is specified multiple times.',
                entry.line,
                entry.column,
                path,
                wanted="keep one of them",
            )
        seen.add(known.full_name)
        if known.message_type is None:
            yield from _scalar(entry, known, path)
        elif isinstance(entry.value, Message):
            yield from self.message(entry.value, known.message_type, path, entry)
        else:
            yield _mismatch(entry, path, f'Expected "{{", found "{entry.value}".', "a message in { }")

    def _extension(self, entry: Entry, kind: Descriptor, seen: set[str], path: str) -> Iterator[Problem]:
        name = entry.name[1:-1]
        try:
            extension = self._pool.FindExtensionByName(name)
        except KeyError:
            extension = None
        if extension is None or extension.containing_type is not kind:
            yield Problem(
                f'Extension "{name}" is not defined or is not an extension of "{kind.full_name}".',
                entry.line,
                entry.column,
                path,
                message=kind.full_name,
                field_name=entry.name,
            )
            return
        yield from self._value(entry, extension, seen, path)

    def _any(self, entry: Entry, seen: set[str], path: str) -> Iterator[Problem]:
        url = entry.name[1:-1]
        prefix, _, name = url.rpartition("/")
        kind = self._message_type(name) if f"{prefix}/" in _ANY_PREFIXES else None
        if kind is None:
            yield Problem(
                f'Could not find type "{url}" stored in google.protobuf.Any.',
                entry.line,
                entry.column,
                path,
                message=_ANY,
                field_name=entry.name,
            )
            return
        if _ANY in seen:
            yield Problem(
                "Non-repeated Any specified multiple times.",
                entry.line,
                entry.column,
                path,
                wanted="give it a node_options of its own",
            )
        seen.add(_ANY)
        if not isinstance(entry.value, Message):
            yield _mismatch(entry, path, f'Expected "{{", found "{entry.value}".', "a message in { }")
            return
        yield from self.message(entry.value, kind, path, entry)
        if self._text[entry.end - 1] in ",;":
            line, column = _place(self._text, entry.end - 1)
            found = self._text[entry.end - 1]
            yield Problem(
                f"Expected identifier, got: {found}",
                line,
                column,
                path,
                wanted=f'remove the "{found}": none may follow a message in an Any',
            )

    def _message_type(self, name: str) -> Descriptor | None:
        try:
            return self._pool.FindMessageTypeByName(name)
        except KeyError:
            return None


def _scalar(entry: Entry, known: FieldDescriptor, path: str) -> Iterator[Problem]:
    if isinstance(entry.value, Message):
        yield _mismatch(entry, path, "Expected a value, got: {", f"a {_type_name(known)}, no message")
        return
    problem = _literal_problem(entry.value, known)
    if problem:
        yield _mismatch(entry, path, *problem)


def _literal_problem(literal: str, known: FieldDescriptor) -> tuple[str, str] | None:
    """Return what protobuf says of a literal that is no value of the field, and what to write instead."""
    if known.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return None if is_string(literal) else (f"Expected string, got: {literal}", f'"{literal}"')
    if known.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _bool_problem(literal, known.name)
    if known.enum_type is not None:
        return _enum_problem(literal, known.name, known.enum_type)
    if known.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        number = literal.removeprefix("-")
        fits = is_decimal(number) or number.lower() in ("inf", "infinity", "nan")
        return None if fits else (f"Expected double, got: {literal}", "a number")
    return _integer_problem(literal, known)


def _integer_problem(literal: str, known: FieldDescriptor) -> tuple[str, str] | None:
    limit = _UNSIGNED_LIMITS.get(known.cpp_type)
    negative = literal.startswith("-") and limit is None
    value = unsigned(literal.removeprefix("-") if negative else literal)
    wanted = f"a whole number from 0 to {limit}" if limit else "a whole number"
    bare = literal.strip("\"'")
    if is_string(literal) and re.fullmatch(r"\d+", bare):
        wanted = f"{bare}, without quotes"
    if value is None:
        return f"Expected integer, got: {literal}", wanted
    largest = limit if limit is not None else _SIGNED_LIMITS[known.cpp_type] - (0 if negative else 1)
    return (f"Integer out of range ({literal})", wanted) if value > largest else None


def _bool_problem(literal: str, name: str) -> tuple[str, str] | None:
    wanted = "true or false"
    if literal[0].isdigit():
        value = unsigned(literal)
        return None if value in (0, 1) else (f"Integer out of range ({literal})", wanted)
    if literal in TRUE_WORDS + FALSE_WORDS:
        return None
    if is_identifier(literal):
        return f'Invalid value for boolean field "{name}". Value: "{literal}".', wanted
    return f"Expected identifier, got: {literal}", wanted


def _enum_problem(literal: str, name: str, enum: EnumDescriptor) -> tuple[str, str] | None:
    names = [value.name for value in enum.values]
    wanted = f"one of {', '.join(names)}, without quotes"
    if is_string(literal):
        return f"Expected integer or identifier, got: {literal}", wanted
    if literal in names or unsigned(literal) in [value.number for value in enum.values]:
        return None
    return f'Unknown enumeration value of "{literal}" for field "{name}".', wanted


def _mismatch(entry: Entry, path: str, text: str, wanted: str) -> Problem:
    return Problem(text, entry.value_line, entry.value_column, path, wanted=f"write {wanted}")


def _type_name(known: FieldDescriptor) -> str:
    return "string" if known.cpp_type == FieldDescriptor.CPPTYPE_STRING else "number, bool or enum value"


def _place(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
