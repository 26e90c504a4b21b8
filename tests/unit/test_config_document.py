from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovms_edge.config_file.document import JsonSyntaxError, read_document, show_path

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_what_is_json_is_read(value: Any, indent: int | str | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert read_document(text).value == value


@pytest.mark.parametrize(
    ("text", "line", "column", "logged", "remedy"),
    [
        ("", 1, 1, "The document is empty.", "complete"),
        ("\ufeff{}", 1, 1, "Invalid value.", "byte order mark"),
        ('{"a": 1,}', 1, 9, "Missing a name for object member.", "comma"),
        ('{\n  // why\n  "a": 1}', 2, 3, "Missing a name for object member.", "comment"),
        ('{"a": 1 # why\n}', 1, 9, "Missing a comma or } after an object member.", "comment"),
        ("{'a': 1}", 1, 2, "Missing a name for object member.", "double quotes"),
        ('{"a": NaN}', 1, 7, "Invalid value.", "NaN"),
        ('{"a": -Infinity}', 1, 7, "Invalid value.", "Infinity"),
        ('{"a": True}', 1, 7, "Invalid value.", "true, false or null"),
        ('{"a" 1}', 1, 6, "Missing a colon after a name of object member.", "correct"),
        ('["a" "b"]', 1, 6, "Missing a comma or ] after an array element.", "comma"),
        ('{"a": 1\n "b": 2}', 2, 2, "Missing a comma or } after an object member.", "comma"),
        ('{"a": "b}', 1, 7, "Missing a closing quotation mark in string.", "comma"),
        ('{"a": "b\nc"}', 1, 9, "Invalid encoding in string.", "correct"),
        (r'{"a": "\x"}', 1, 8, "Invalid escape character in string.", "correct"),
        (r'{"a": "\u12"}', 1, 9, "Incorrect hex digit after \\u escape in string.", "correct"),
        (r'{"a": "\ud800"}', 1, 8, "The surrogate pair in string is invalid.", "correct"),
        ('{"a": 1.}', 1, 8, "Miss fraction part in number.", "correct"),
        ('{"a": 1e}', 1, 8, "Miss exponent in number.", "correct"),
        ('{"a": 1e999}', 1, 7, "Number too big to be stored in double.", "correct"),
        ('{"a": 012}', 1, 8, "Missing a comma or } after an object member.", "correct"),
        ("{} {}", 1, 4, "The document root must not be followed by other values.", "correct"),
        ("[" * 200, 1, 102, "Invalid value.", "correct"),
    ],
)
def test_what_ovms_cannot_parse_is_said_in_its_words_and_ours(
    text: str, line: int, column: int, logged: str, remedy: str
) -> None:
    with pytest.raises(JsonSyntaxError) as caught:
        read_document(text)
    error = caught.value
    assert (error.line, error.column, error.logged) == (line, column, logged)
    assert remedy in error.remedy


def test_of_a_key_given_twice_the_first_counts() -> None:
    document = read_document('{"a": {"b": 1},\n "a": {"c": 2}}')
    assert document.value == {"a": {"b": 1}}
    assert [path for path, _ in document.repeated] == [("a",)]
    assert document.place(("a", "b")) == (1, 13)


def test_values_and_keys_have_their_places() -> None:
    document = read_document('{\n  "list": [\n    {"name": "x"}]}')
    assert document.place(("list", 0, "name")) == (3, 14)
    assert document.key_place(("list", 0, "name")) == (3, 6)
    assert show_path(("list", 0, "name")) == "list[0].name"


def test_nothing_is_read_after_a_zero_byte() -> None:
    assert read_document('{"a": 1}\0rubbish').value == {"a": 1}


def test_a_number_that_64_bits_do_not_hold_is_no_integer() -> None:
    assert isinstance(read_document(str(2**64)).value, float)
    assert isinstance(read_document(str(2**64 - 1)).value, int)


def test_a_number_of_5000_digits_is_refused_as_ovms_does() -> None:
    with pytest.raises(JsonSyntaxError, match="Number too big"):
        read_document("9" * 5000)
