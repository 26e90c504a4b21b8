"""The input tables of the role READMEs: what stands in them, and what is refused."""

from __future__ import annotations

import pytest

from tools.role_docs import BEGIN, END, MOST_NESTED_ROWS, NotCurrentError, table, with_table

NESTED = {"address": {"type": "str", "required": True, "description": "C(HOST)."}}


def rows(**options: object) -> list[str]:
    return table(options).splitlines()[2:]


def test_a_row_says_name_type_default_and_meaning() -> None:
    option = {"type": "str", "default": "GPU", "choices": ["GPU", "CPU"], "description": ["C(a|b).", "Why."]}
    assert rows(r_x=option) == [r"| `r_x` | str | `GPU` | `a\|b`. Why. One of `GPU`, `CPU`. |"]


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ({"required": True}, "required"),
        ({}, "none"),
        ({"default": ""}, '`""`'),
        ({"default": True}, "`true`"),
        ({"default": []}, "`[]`"),
    ],
)
def test_a_default_is_shown_as_it_is_written_in_yaml(option: dict[str, object], shown: str) -> None:
    assert rows(r_x={"type": "raw", "description": "x", **option}) == [f"| `r_x` | raw | {shown} | x |"]


@pytest.mark.parametrize(
    ("kind", "shown", "name"),
    [
        ({"type": "list", "elements": "dict"}, "list of dict", "r_x[].address"),
        ({"type": "dict"}, "dict", "r_x.address"),
    ],
)
def test_few_nested_options_have_rows_of_their_own(kind: dict[str, str], shown: str, name: str) -> None:
    assert rows(r_x={**kind, "description": "x", "options": NESTED}) == [
        f"| `r_x` | {shown} | none | x |",
        f"| `{name}` | str | required | `HOST`. |",
    ]


def test_many_nested_options_are_named_in_one_row() -> None:
    many = {f"o{number}": NESTED["address"] for number in range(MOST_NESTED_ROWS + 1)}
    (row,) = rows(r_x={"type": "dict", "description": "x.", "options": many})
    assert row.endswith(f"x. Keys: {', '.join(f'`{key}`' for key in many)}. |")


def test_only_what_is_between_the_markers_changes() -> None:
    assert with_table(f"a\n{BEGIN}\nold\n{END}\nb\n", "new") == f"a\n{BEGIN}\nnew\n{END}\nb\n"


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_readme_without_one_pair_of_markers_is_refused(text: str) -> None:
    with pytest.raises(NotCurrentError, match="put them around"):
        with_table(text, "new")
