"""The tokens of protobuf's text format, with their places, as C++ TextFormat cuts them.

OVMS parses graph.pbtxt with C++ protobuf. Its lexer, not Python's, decides what is a token: numbers, escapes,
strings that end with their line. Source: protocolbuffers/protobuf, src/google/protobuf/io/tokenizer.cc.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ovms_edge.errors import EdgeError

TokenKind = Literal["name", "number", "string", "symbol", "end"]

REMEDY = "correct the text at this place, or run `ovms-edge graph check --fix`"

_SPACE = re.compile(r"(?:[ \n\t\r\v\f]|#[^\n]*)*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]+")
_DECIMAL = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[fF]?")
_STRING = re.compile(r"""(["'])((?:(?!\1)[^\\\n]|\\[^\n])*)\1""")
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|[xX](?P<hexadecimal>[0-9a-fA-F]{1,2})"
    r"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})"
    r"""|(?P<letter>[abfnrtv\\?'"])|(?P<wrong>.))"""
)
_LETTERS = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "?": 63, "'": 39, '"': 34}


class GraphSyntaxError(EdgeError):
    """Text that is not protobuf's text format; ``line`` and ``column`` count from 1."""

    def __init__(self, problem: str, line: int, column: int) -> None:
        """``problem`` is worded as C++ protobuf words it where that is known."""
        super().__init__(f"no text-format protobuf at line {line} column {column}: {problem}", REMEDY)
        self.problem = problem
        self.line = line
        self.column = column


@dataclass(frozen=True)
class Token:
    """One token; ``start`` and ``end`` are offsets in the text, ``line`` and ``column`` count from 1."""

    kind: TokenKind
    text: str
    start: int
    end: int
    line: int
    column: int


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of ``text``, the last of kind ``end``. Raises GraphSyntaxError."""
    position, line, line_start = 0, 1, 0
    while True:
        space = _SPACE.match(text, position)
        start = space.end() if space else position
        line += text.count("\n", position, start)
        line_start = max(line_start, text.rfind("\n", position, start) + 1)
        column = start - line_start + 1
        if start == len(text):
            yield Token("end", "", start, start, line, column)
            return
        kind, position = _next(text, start, line, column)
        yield Token(kind, text[start:position], start, position, line, column)


def comment_lines(text: str) -> list[int]:
    """Return the lines of ``text`` that have a comment, from 1. Raises GraphSyntaxError."""
    lines: list[int] = []
    position = 0
    for token in tokens(text):
        first = text.count("\n", 0, position) + 1
        between = text[position : token.start].split("\n")
        lines += [line for line, part in enumerate(between, start=first) if part.lstrip().startswith("#")]
        position = token.end
    return lines


def _next(text: str, start: int, line: int, column: int) -> tuple[TokenKind, int]:
    character = text[start]
    if name := _NAME.match(text, start):
        return "name", name.end()
    if character in "0123456789" or (character == "." and text[start + 1 : start + 2].isdigit()):
        return "number", _number_end(text, start, line, column)
    if character in "\"'":
        string = _STRING.match(text, start)
        if string is None:
            raise GraphSyntaxError(_unfinished(text, start), line, column)
        for escape in _ESCAPE.finditer(string[2]):
            if escape["wrong"]:
                raise GraphSyntaxError(
                    "Invalid escape sequence in string literal.", line, column + 1 + escape.start()
                )
        return "string", string.end()
    if character < " " or character == "\x7f":
        raise GraphSyntaxError("Invalid control characters encountered in text.", line, column)
    if not character.isascii():
        problem = f"Interpreting non ascii codepoint {character.encode('utf-8', 'surrogatepass')[0]}."
        raise GraphSyntaxError(problem, line, column)
    return "symbol", start + 1


def _number_end(text: str, start: int, line: int, column: int) -> int:
    number = _HEXADECIMAL.match(text, start) or _DECIMAL.match(text, start)
    end = number.end() if number else start + 1
    following = text[end : end + 1]
    if text[start:end].isdigit() and text[start] == "0" and re.search("[89]", text[start:end]):
        raise GraphSyntaxError("Numbers starting with leading zero must be in octal.", line, column)
    if _NAME.match(following):
        raise GraphSyntaxError("Need space between number and identifier.", line, column + end - start)
    if following == ".":
        problem = "Already saw decimal point or exponent; can't have another one."
        raise GraphSyntaxError(problem, line, column + end - start)
    return end


def _unfinished(text: str, start: int) -> str:
    if "\n" in text[start:]:
        return "String literals cannot cross line boundaries."
    return "Unexpected end of string."


def unquote(literal: str) -> str:
    """Return what a string literal stands for; bytes that are no UTF-8 become U+FFFD."""
    body, value, position = literal[1:-1], bytearray(), 0
    for escape in _ESCAPE.finditer(body):
        value += body[position : escape.start()].encode() + _escaped(escape)
        position = escape.end()
    return (value + body[position:].encode()).decode("utf-8", "replace")


def _escaped(escape: re.Match[str]) -> bytes:
    if escape["octal"]:
        return bytes([int(escape["octal"], 8) & 0xFF])
    if escape["hexadecimal"]:
        return bytes([int(escape["hexadecimal"], 16)])
    if escape["letter"]:
        return bytes([_LETTERS[escape["letter"]]])
    return chr(int(escape["short"] or escape["long"], 16)).encode("utf-8", "replace")


def quote(value: str) -> str:
    """Return the string literal of ``value``, in the quotes that need fewer escapes."""
    mark = "'" if '"' in value and "'" not in value else '"'
    escaped = "".join(_escape(character, mark) for character in value)
    return f"{mark}{escaped}{mark}"


def _escape(character: str, mark: str) -> str:
    if character in (mark, "\\"):
        return f"\\{character}"
    if character == "\n":
        return "\\n"
    return f"\\{ord(character):03o}" if character < " " else character
