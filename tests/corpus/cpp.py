"""The strings of a C++ test, whose they are, and what the test says of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_RAW = re.compile(r'R"(?P<mark>[^(\s]*)\((?P<text>.*?)\)(?P=mark)"', re.DOTALL)
_PLAIN = re.compile(r'"(?P<text>(?:[^"\\\n]|\\.)*)"')
_OPERAND = re.compile(r"[\w:.]+(?:\([^()]*\))?")
_PLUS = re.compile(r"\s*\+\s*")
_BLANK = re.compile(r"\s*")
_FUNCTION = re.compile(
    r"^(?:TEST\w*\((?P<suite>\w+),\s*(?P<test>\w+)\)|void (?P<helper>\w+)\()[^;{]*\{.*?^\}",
    re.DOTALL | re.MULTILINE,
)
_COMPARED = re.compile(r"(?:ASSERT|EXPECT)_EQ\([^;]*?(?:StatusCode::(?P<code>\w+)|(?P<name>expected\w*))\)")
_PARAMETERS = re.compile(r'make_tuple\("(?P<value>\w+)", (?:ovms::)?StatusCode::(?P<code>\w+)\)')


@dataclass(frozen=True)
class Hole:
    """A part of a string that the test computes."""

    expression: str


@dataclass(frozen=True)
class Function:
    """A test, or a helper that tests call; ``suite`` is empty for a helper."""

    suite: str
    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Text:
    """A concatenation of string literals; ``start`` and ``end`` are offsets in the file."""

    pieces: tuple[str | Hole, ...]
    start: int
    end: int

    @property
    def literal(self) -> str:
        return "".join(piece for piece in self.pieces if isinstance(piece, str))

    def filled(self, values: dict[str, str]) -> str:
        """Return the string; a hole that ``values`` does not know is a KeyError."""
        return "".join(piece if isinstance(piece, str) else values[piece.expression] for piece in self.pieces)


def texts(source: str) -> Iterator[Text]:
    """Yield every concatenation that starts with a raw string."""
    position = 0
    while (first := _RAW.search(source, position)) is not None:
        pieces: list[str | Hole] = [first["text"]]
        position = first.end()
        while (part := _next_part(source, position)) is not None:
            piece, position = part
            pieces.append(piece)
        yield Text(tuple(pieces), first.start(), position)


def _next_part(source: str, position: int) -> tuple[str | Hole, int] | None:
    plus = _PLUS.match(source, position)
    position = plus.end() if plus else _BLANK.match(source, position).end()  # type: ignore[union-attr]
    for pattern in (_RAW, _PLAIN):
        match = pattern.match(source, position)
        if match is not None:
            return match["text"], match.end()
    operand = _OPERAND.match(source, position) if plus else None
    return (Hole(operand[0]), operand.end()) if operand else None


def functions(source: str) -> list[Function]:
    """Return the tests and helpers whose bodies end with a brace in the first column."""
    return [
        Function(match["suite"] or "", match["test"] or match["helper"], match.start(), match.end())
        for match in _FUNCTION.finditer(source)
    ]


def callers(source: str, helper: Function, known: list[Function]) -> list[Function]:
    """Return the tests that call ``helper``."""
    call = re.compile(rf"\b{helper.name}\(")
    return [
        function for function in known if function.suite and call.search(source, function.start, function.end)
    ]


def asserted(source: str, start: int, end: int) -> str | None:
    """Return the StatusCode that is compared between the offsets: the first that is not OK, else OK.

    ``expected...`` (a test's parameter) comes back as it stands; None where nothing is compared.
    """
    codes = [match["code"] or match["name"] for match in _COMPARED.finditer(source, start, end)]
    return next((code for code in codes if code != "OK"), "OK" if codes else None)


def parameters(source: str, after: int) -> list[tuple[str, str]]:
    """Return the (value, StatusCode) pairs of the first INSTANTIATE_TEST_SUITE_P behind ``after``."""
    start = source.index("INSTANTIATE_TEST_SUITE_P", after)
    end = source.index(";", start)
    return [(match["value"], match["code"]) for match in _PARAMETERS.finditer(source, start, end)]
