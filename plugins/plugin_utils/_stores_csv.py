# SPDX-License-Identifier: Apache-2.0
"""A CSV file of stores, read whole and checked before anything is made of it. No Ansible."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STORE = "store"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TEXT = frozenset({"ansible_host", "store_region", "store_timezone", "store_hardware"})
_JSON_BEGINS = frozenset('-0123456789tfn"[{')


class TableError(Exception):
    """What is wrong in the file, with its line."""

    def __init__(self, path: Path, line: int, reason: str, remedy: str) -> None:
        """``line`` counts from 1."""
        super().__init__(f"{path}, line {line}: {reason}; {remedy}")


def read_stores(path: Path, delimiter: str) -> dict[str, dict[str, Any]]:
    """Return the variables of each store, in the file's order; raises TableError, and OSError."""
    rows = csv.reader(io.StringIO(_text(path), newline=""), delimiter=delimiter, strict=True)
    stores: dict[str, dict[str, Any]] = {}
    lines: dict[str, int] = {}
    try:
        columns = [cell.strip() for cell in next(rows, [])]
        _check_columns(columns, path)
        parsers = [_parser(column) for column in columns]
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) != len(columns):
                found = f"{len(cells)} cells, where the first line has {len(columns)} columns"
                raise TableError(path, rows.line_num, found, "quote a cell that has the delimiter in it")
            variables = {
                column: parse(cell)
                for column, parse, cell in zip(columns, parsers, cells, strict=True)
                if cell
            }
            name = variables.pop(_STORE, "")
            if not _NAME.fullmatch(name):
                wrong = f"{name} is no name of a store" if name else "the store has no name"
                raise TableError(path, rows.line_num, wrong, "give one of letters, digits, dots, - and _")
            if name in lines:
                wrong = f"{name} stands in line {lines[name]} already"
                raise TableError(path, rows.line_num, wrong, "leave one of the two")
            stores[name], lines[name] = variables, rows.line_num
    except csv.Error as error:
        raise TableError(
            path, rows.line_num, f"not CSV: {error}", "mend the quotes here or before"
        ) from error
    return stores


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TableError(path, line, f"not UTF-8: {error.reason}", "save the file as UTF-8") from error


def _check_columns(columns: list[str], path: Path) -> None:
    if _STORE not in columns:
        found = ", ".join(columns) or "nothing"
        raise TableError(
            path, 1, f"no column {_STORE} but {found}", "name the columns, and give the delimiter"
        )
    for column in columns:
        if not (column.isidentifier() and column.isascii()):
            raise TableError(
                path,
                1,
                f"column {column!r} is no name of a variable",
                "use letters, digits and _, or remove it",
            )
        if columns.count(column) > 1:
            raise TableError(path, 1, f"column {column} is there twice", "remove or rename one")


def _parser(column: str) -> Callable[[str], Any]:
    # Values repeat from row to row, and are shared then.
    if column == "store_tags":
        return functools.lru_cache(_tags)
    if column in _TEXT:
        return functools.lru_cache(str)
    return str if column == _STORE else functools.lru_cache(_scalar)


def _tags(cell: str) -> list[str]:
    return cell.replace(";", " ").split()


def _scalar(cell: str) -> Any:
    """Return what a cell of JSON says, and else the text."""
    if cell[0] not in _JSON_BEGINS:
        return cell
    try:
        return json.loads(cell, parse_float=_decimal, parse_constant=_decimal)
    except ValueError:
        return cell


def _decimal(number: str) -> float:
    """Return a decimal fraction; 1e5 is more likely an identifier, and NaN no number."""
    if not number.lstrip("-").replace(".", "", 1).isdigit():
        raise ValueError(number)
    return float(number)
