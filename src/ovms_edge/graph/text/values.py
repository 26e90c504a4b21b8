"""What the literals of text format mean, as C++ protobuf reads them (src/google/protobuf/text_format.cc)."""

from __future__ import annotations

import re

from ovms_edge.graph.text.syntax import Entry, Message
from ovms_edge.ovms.fields import Field, Scalar

TRUE_WORDS = ("true", "True", "t")
FALSE_WORDS = ("false", "False", "f")

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTEGER = re.compile(r"0[xX](?P<hexadecimal>[0-9a-fA-F]+)|0(?P<octal>[0-7]+)|(?P<decimal>0|[1-9][0-9]*)")
_LONGEST = 40  # digits: more fit no field, and int() refuses thousands of them
_LEADING_ZERO = re.compile(r"0[0-9]+")


def is_string(literal: str) -> bool:
    """Return whether ``literal`` is in quotes."""
    return literal[0] in "\"'"


def is_identifier(literal: str) -> bool:
    """Return whether ``literal`` is a bare word."""
    return _IDENTIFIER.fullmatch(literal) is not None


def is_decimal(literal: str) -> bool:
    """Return whether ``literal`` is a number that fits a float field: no octal, no hexadecimal."""
    if _LEADING_ZERO.fullmatch(literal) or literal[:2] in ("0x", "0X"):
        return False
    return literal[0] in "0123456789." and not is_string(literal)


def unsigned(literal: str) -> int | None:
    """Return the value of a decimal, hexadecimal or octal literal (2**128 if longer), None if it is none."""
    match = _INTEGER.fullmatch(literal)
    if match is None:
        return None
    if len(literal) > _LONGEST:
        return 1 << 128
    if match["hexadecimal"]:
        return int(match["hexadecimal"], 16)
    return int(match["octal"], 8) if match["octal"] else int(literal)


def value_of(entry: Entry, field: Field) -> Scalar | None:
    """Return the value of a scalar option (an enum's as its name), None where the literal does not fit."""
    if isinstance(entry.value, Message):
        return None
    literal = entry.value
    if field.type == "string":
        return entry.text if is_string(literal) else None
    if is_string(literal):
        return None
    number = unsigned(literal)
    if field.type == "bool":
        if literal in TRUE_WORDS or number == 1:
            return True
        return False if literal in FALSE_WORDS or number == 0 else None
    if field.type == "enum":
        if number is not None:
            return field.choices[number] if number < len(field.choices) else None
        return literal if literal in field.choices else None
    if field.type == "float":
        return float(literal.rstrip("fF")) if is_decimal(literal.removeprefix("-")) else None
    return number
