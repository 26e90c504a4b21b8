"""Protobuf's text format with no schema, with places: for graphs whose fields no OVMS knows.

The grammar is that of C++ TextFormat (protocolbuffers/protobuf, src/google/protobuf/text_format.cc), which
OVMS uses: comments, one ``,`` or ``;`` behind a field, ``{}`` or ``<>``, a colon that may be missing before a
message, lists in brackets, adjacent strings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ovms_edge.graph.text.tokens import GraphSyntaxError, Token, quote, tokens, unquote

__all__ = ["Entry", "GraphSyntaxError", "Message", "parse", "print_message", "quote", "unquote"]

# C++ has no limit. A graph is five deep; what is deeper than this would only exhaust the stack.
_MAX_DEPTH = 100
_CLOSING = {"{": "}", "<": ">"}


@dataclass(frozen=True)
class Message:
    """The fields of one message, in file order. ``end`` is the offset of its closing brace, or of the end."""

    entries: tuple[Entry, ...]
    end: int = 0

    def named(self, name: str) -> tuple[Entry, ...]:
        """Return the entries called ``name``."""
        return tuple(entry for entry in self.entries if entry.name == name)

    def messages(self, name: str) -> tuple[Message, ...]:
        """Return the values of the entries called ``name`` that are messages."""
        return tuple(entry.value for entry in self.named(name) if isinstance(entry.value, Message))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return what the entries called ``name`` stand for: strings without quotes, else as written."""
        return tuple(entry.text for entry in self.named(name) if isinstance(entry.value, str))


@dataclass(frozen=True)
class Entry:
    """One field with one value; each value of a list is an entry of its own.

    ``name`` is a field's, or an extension's or a type URL in brackets without blanks. ``value`` is a message
    or the literal as written, adjacent strings joined to one. Lines and columns count from 1. ``start`` and
    ``end`` are the offsets of the whole field in the text, its separator included.
    """

    name: str
    value: Message | str
    line: int
    column: int
    value_line: int
    value_column: int
    start: int = 0
    end: int = 0

    @property
    def text(self) -> str:
        """What the literal stands for: a string without its quotes, else as written; empty for a message."""
        if isinstance(self.value, Message):
            return ""
        return unquote(self.value) if self.value[0] in "\"'" else self.value


def parse(text: str) -> Message:
    """Return the tree of ``text``. Raises GraphSyntaxError where C++ protobuf would not read on either."""
    return _Parser(tokens(text)).fields("", depth=0)


def print_message(message: Message, indent: str = "") -> str:
    """Return ``message`` as text that parses back to the same names and values, one field a line."""
    lines: list[str] = []
    for entry in message.entries:
        if isinstance(entry.value, Message):
            lines += [f"{indent}{entry.name} {{", print_message(entry.value, indent + "  ") + f"{indent}}}"]
        else:
            lines.append(f"{indent}{entry.name}: {entry.value}")
    return "".join(f"{line}\n" for line in lines)


class _Parser:
    """Recursive descent with one token of look-ahead."""

    def __init__(self, source: Iterator[Token]) -> None:
        self._source = source
        self._token = next(source)
        self._last_end = 0

    def fields(self, closing: str, depth: int) -> Message:
        """Return the fields up to ``closing`` (empty: the end of the text), which stays the next token."""
        if depth > _MAX_DEPTH:
            raise self._error(f"Message is too deep, the parser exceeded a depth of {_MAX_DEPTH}.")
        entries: list[Entry] = []
        while not (self._at(closing) if closing else self._token.kind == "end"):
            if closing and self._token.kind == "symbol" and self._token.text in "}>":
                raise self._error(f'Expected "{closing}", found "{self._token.text}".')
            entries += self._field(depth)
        return Message(tuple(entries), self._token.start)

    def _field(self, depth: int) -> list[Entry]:
        first = self._token
        name = self._bracketed_name() if self._try("[") else self._take("name", "Expected identifier").text
        colon = self._try(":")
        if self._at("["):
            values = self._list(depth, messages_only=not colon)
        elif colon and self._token.text not in _CLOSING:
            values = [self._scalar()]
        else:
            values = [self._message(depth)]
        if not self._try(";"):
            self._try(",")
        return [
            Entry(name, value, first.line, first.column, at.line, at.column, first.start, self._last_end)
            for value, at in values
        ]

    def _bracketed_name(self) -> str:
        parts = [self._take("name", "Expected identifier").text]
        while self._at(".") or self._at("/"):
            parts.append(self._advance().text)
            parts.append(self._take("name", "Expected identifier").text)
        self._expect("]")
        return f"[{''.join(parts)}]"

    def _list(self, depth: int, *, messages_only: bool) -> list[tuple[Message | str, Token]]:
        self._expect("[")
        values: list[tuple[Message | str, Token]] = []
        if self._try("]"):
            return values
        while True:
            is_message = messages_only or self._token.text in _CLOSING
            values.append(self._message(depth) if is_message else self._scalar())
            if self._try("]"):
                return values
            self._expect(",")

    def _message(self, depth: int) -> tuple[Message, Token]:
        first = self._token
        if first.kind != "symbol" or first.text not in _CLOSING:
            raise self._error(f'Expected "{{", found "{first.text}".')
        self._advance()
        message = self.fields(_CLOSING[first.text], depth + 1)
        self._expect(_CLOSING[first.text])
        return message, first

    def _scalar(self) -> tuple[str, Token]:
        first = self._token
        if first.kind == "string":
            strings = [self._advance().text]
            while self._token.kind == "string":
                strings.append(self._advance().text)
            if len(strings) == 1:
                return strings[0], first
            return quote("".join(unquote(string) for string in strings)), first
        sign = "-" if self._try("-") else ""
        if self._token.kind not in ("number", "name"):
            raise self._error(f'Invalid field value, found "{self._token.text or "end of text"}".')
        return sign + self._advance().text, first

    def _at(self, symbol: str) -> bool:
        return self._token.kind == "symbol" and self._token.text == symbol

    def _try(self, symbol: str) -> bool:
        if not self._at(symbol):
            return False
        self._advance()
        return True

    def _expect(self, symbol: str) -> None:
        if not self._try(symbol):
            raise self._error(f'Expected "{symbol}", found "{self._token.text}".')

    def _take(self, kind: str, problem: str) -> Token:
        if self._token.kind != kind:
            raise self._error(f"{problem}, got: {self._token.text}")
        return self._advance()

    def _advance(self) -> Token:
        taken = self._token
        self._last_end = taken.end
        if taken.kind != "end":
            self._token = next(self._source)
        return taken

    def _error(self, problem: str) -> GraphSyntaxError:
        return GraphSyntaxError(problem, self._token.line, self._token.column)
