"""The parser follows C++ TextFormat; what it accepts and refuses here was compared with protoc --encode."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovms_edge.graph.text.syntax import (
    Entry,
    GraphSyntaxError,
    Message,
    parse,
    print_message,
    quote,
    unquote,
)

SAMPLE = """\
a: "x" 'y'  # joined
b < c: -5; d: [1, 2,0x1F] >
[type.googleapis.com / x.Y]: { e { }, f [{g:1.5f}, <h: .5>] }
"""


def plain(message: Message) -> list[object]:
    return [
        (entry.name, plain(entry.value) if isinstance(entry.value, Message) else entry.value)
        for entry in message.entries
    ]


def test_every_form_of_the_grammar_is_read() -> None:
    assert plain(parse(SAMPLE)) == [
        ("a", '"xy"'),
        ("b", [("c", "-5"), ("d", "1"), ("d", "2"), ("d", "0x1F")]),
        ("[type.googleapis.com/x.Y]", [("e", []), ("f", [("g", "1.5f")]), ("f", [("h", ".5")])]),
    ]


def test_places_count_from_one() -> None:
    first, second, third = parse(SAMPLE).entries
    assert (first.line, first.column, first.value_line, first.value_column) == (1, 1, 1, 4)
    assert (second.line, second.column, second.value_line, second.value_column) == (2, 1, 2, 3)
    assert (third.line, third.value_line, third.value_column) == (3, 3, 30)
    assert isinstance(second.value, Message)
    assert [entry.value_column for entry in second.value.entries] == [8, 16, 19, 21]


def test_the_offsets_of_a_field_take_its_separator_in() -> None:
    text = "a: 1; b { c: [2] },"
    for entry, expected in zip(parse(text).entries, ("a: 1;", "b { c: [2] },"), strict=True):
        assert text[entry.start : entry.end] == expected


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ('{"a": 1}', 1, 1, "Expected identifier, got: {"),
        ("\n  {% if x %}", 2, 3, "Expected identifier"),
        ("a", 1, 2, 'Expected "{"'),
        ("a: 1\nb: \"x", 2, 4, "Unexpected end of string"),
        ('a: "x\n"', 1, 4, "cannot cross line boundaries"),
        ("a: 1b", 1, 5, "Need space between number and identifier"),
        ("a: 08", 1, 4, "must be in octal"),
        ("a: 1.2.3", 1, 7, "Already saw decimal point"),
        ("a {", 1, 4, "Expected identifier"),
        ("a: {>", 1, 5, 'Expected "}"'),
        ("\ufeffa: 1", 1, 1, "non ascii"),
        ('a: "\\q"', 1, 5, "Invalid escape sequence"),
        ("a:: 1", 1, 3, "Invalid field value"),
        ("a: 1,,", 1, 6, "Expected identifier"),
        ("[a.b: 1", 1, 5, 'Expected "]"'),
        ("1: 2", 1, 1, "Expected identifier"),
        ("a [1]", 1, 4, 'Expected "{"'),
        ("a {" * 200, 1, 304, "too deep"),
    ],
)  # fmt: skip
def test_what_cpp_protobuf_would_not_read_is_refused_at_its_place(
    text: str, line: int, column: int, problem: str
) -> None:
    with pytest.raises(GraphSyntaxError) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert problem in caught.value.problem


@given(st.text(st.characters(codec="utf-8")))
def test_a_quoted_text_is_read_as_it_was(text: str) -> None:
    assert unquote(quote(text)) == text
    assert parse(f"a: {quote(text)}").entries[0].text == text


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (r'"\101\x42\n\""', 'AB\n"'),
        (r"'\'\\'", "'\\"),
        (r'"é\303\251\u00e9"', "ééé"),
        (r'"\U0001F600"', "😀"),
    ],
)
def test_escapes_are_those_of_cpp(literal: str, value: str) -> None:
    assert unquote(literal) == value


def test_strings_are_joined_without_changing_what_they_say() -> None:
    assert parse(r"""a: "\1" '2"'""").entries[0].text == '\x012"'


_names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
_literals = st.one_of(
    st.integers().map(str),
    st.booleans().map(lambda value: str(value).lower()),
    st.text(st.characters(codec="utf-8")).map(quote),
)
_messages: st.SearchStrategy[Message] = st.recursive(
    st.just(Message(())),
    lambda inner: st.lists(
        st.builds(
            Entry, _names, _literals | inner, *(st.just(0) for _ in range(4))
        )
    ).map(lambda entries: Message(tuple(entries))),
    max_leaves=20,
)  # fmt: skip


@given(_messages)
def test_what_is_printed_reads_back_as_it_was(message: Message) -> None:
    assert plain(parse(print_message(message))) == plain(message)
