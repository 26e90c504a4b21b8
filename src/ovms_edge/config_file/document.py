"""JSON as OVMS reads it, with the place of every key and value.

OVMS parses with RapidJSON and no extras: comments, trailing commas, NaN and a byte order mark are errors; of
a key given twice the first counts (model_server v2025.4.1, src/schema.cpp parseConfig, WORKSPACE).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ovms_edge.errors import EdgeError

JsonPath = tuple[str | int, ...]

_BLANK = re.compile(r"[ \t\r\n]*")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FRACTION = re.compile(r"\.[0-9]+")
_EXPONENT = re.compile(r"[eE][+-]?[0-9]+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_WORDS = {"true": True, "false": False, "null": None}
_decode = json.JSONDecoder().raw_decode
_MOST_DIGITS = 20  # of 64 bits, with a sign
_DEEPEST = 100  # levels; the schema of OVMS has 8
_STRING_ERRORS = {  # Python's words, and RapidJSON's
    "Unterminated string": "Missing a closing quotation mark in string.",
    "Invalid control character": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\u": "Incorrect hex digit after \\u escape in string.",
}


class JsonSyntaxError(EdgeError):
    """Not JSON for OVMS. ``logged`` is what OVMS logs; ``line`` and ``column`` count from 1."""

    def __init__(self, logged: str, remedy: str, line: int, column: int) -> None:
        super().__init__(f"line {line} column {column}: {logged}", remedy)
        self.logged, self.line, self.column = logged, line, column


@dataclass
class Document:
    """``value`` is the content; ``repeated`` are keys given again, as path and offset of the later one.

    ``later`` holds their values by that offset.
    """

    text: str
    value: Any = None
    values: dict[JsonPath, int] = field(default_factory=dict)
    keys: dict[JsonPath, int] = field(default_factory=dict)
    repeated: list[tuple[JsonPath, int]] = field(default_factory=list)
    later: dict[int, Any] = field(default_factory=dict)

    def place(self, path: JsonPath) -> tuple[int, int]:
        """Return line and column of the value at ``path``."""
        return line_and_column(self.text, self.values[path])

    def key_place(self, path: JsonPath) -> tuple[int, int]:
        """Return line and column of the key of ``path``."""
        return line_and_column(self.text, self.keys[path])


def read_document(text: str) -> Document:
    """Return the document; raises JsonSyntaxError where OVMS's parser stops."""
    document = Document(text.partition("\0")[0])  # a C string ends there
    _Parser(document).run()
    return document


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Return the place of ``offset``, both numbers from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def show_path(path: JsonPath) -> str:
    """Return ``path`` as people write it: ``model_config_list[0].config.name``."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(parts).lstrip(".")


class _Parser:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._text = document.text
        self._at = 0

    def run(self) -> None:
        self._skip()
        if self._at == len(self._text):
            self._fail("The document is empty.")
        self._document.value = self._value(())
        self._skip()
        if self._at < len(self._text):
            self._fail("The document root must not be followed by other values.")

    def _value(self, path: JsonPath) -> Any:
        self._document.values[path] = self._at
        if len(path) > _DEEPEST:
            self._fail("Invalid value.")
        if self._takes("{"):
            return self._object(path)
        if self._takes("["):
            return self._array(path)
        if self._peek() == '"':
            return self._string()
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        return self._number()

    def _object(self, path: JsonPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._skip()
        if self._takes("}"):
            return found
        while True:
            if self._peek() != '"':
                self._fail("Missing a name for object member.")
            key_at = self._at
            key = self._string()
            self._skip()
            if not self._takes(":"):
                self._fail("Missing a colon after a name of object member.")
            self._skip()
            self._member(found, (*path, key), key_at)
            self._skip()
            if self._takes("}"):
                return found
            if not self._takes(","):
                self._fail("Missing a comma or } after an object member.")
            self._skip()

    def _member(self, found: dict[str, Any], path: JsonPath, key_at: int) -> None:
        key = str(path[-1])
        if key in found:
            self._document.repeated.append((path, key_at))
            places = dict(self._document.values), dict(self._document.keys)
            self._document.later[key_at] = self._value(path)
            self._document.values, self._document.keys = places
            return
        self._document.keys[path] = key_at
        found[key] = self._value(path)

    def _array(self, path: JsonPath) -> list[Any]:
        found: list[Any] = []
        self._skip()
        if self._takes("]"):
            return found
        while True:
            found.append(self._value((*path, len(found))))
            self._skip()
            if self._takes("]"):
                return found
            if not self._takes(","):
                self._fail("Missing a comma or ] after an array element.")
            self._skip()

    def _string(self) -> str:
        start = self._at + 1
        try:
            value, self._at = _decode(self._text, self._at)
        except json.JSONDecodeError as error:
            logged = next(ours for theirs, ours in _STRING_ERRORS.items() if error.msg.startswith(theirs))
            self._fail(logged, error.pos)
        if _SURROGATE.search(value):
            self._fail("The surrogate pair in string is invalid.", start)
        return str(value)

    def _number(self) -> int | float:
        start = self._at
        whole = _INTEGER.match(self._text, start)
        if not whole:
            self._fail("Invalid value.")
        self._at = whole.end()
        real = False
        for mark, pattern, logged in (
            (".", _FRACTION, "Miss fraction part in number."),
            ("eE", _EXPONENT, "Miss exponent in number."),
        ):
            if self._peek() and self._peek() in mark:
                part = pattern.match(self._text, self._at)
                if not part:
                    self._fail(logged)
                self._at, real = part.end(), True
        digits = self._text[start : self._at]
        if not real and len(digits) <= _MOST_DIGITS and -(2**63) <= int(digits) < 2**64:
            return int(digits)
        value = float(digits)  # what 64 bits do not hold is a double, and no integer for the schema
        if value in (float("inf"), float("-inf")):
            self._fail("Number too big to be stored in double.", start)
        return value

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _takes(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        return True

    def _skip(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank else self._at

    def _fail(self, logged: str, offset: int | None = None) -> NoReturn:
        offset = self._at if offset is None else offset
        remedy = _remedy(self._text, offset)
        raise JsonSyntaxError(logged, remedy, *line_and_column(self._text, offset))


_REMEDIES: Mapping[str, str] = {
    r"\ufeff": "save the file without a byte order mark",
    r"//|/\*|#": "remove the comment: OVMS reads none",
    r"[}\]]": "remove the comma before it, or add what is missing",
    r"'": 'use double quotes (")',
    r"(?i)[-+]?(nan|inf)": "put a number there: JSON has no NaN and no Infinity",
    r"True|False|None": "write true, false or null",
    r"\+|0[0-9]": "write the number without plus sign and leading zeros",
    r'"': "put a comma before it",
    r"$": "complete the file: it ends too early",
}


def _remedy(text: str, offset: int) -> str:
    for pattern, remedy in _REMEDIES.items():
        if re.compile(pattern).match(text, offset):
            return remedy
    return "correct the file here"
