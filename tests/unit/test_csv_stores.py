"""The inventory plugin for CSV files: what it makes of a file, and what it says of a bad one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils._stores_csv import TableError, read_stores

PROJECT = Path(__file__).resolve().parents[2]
HEAD = "store,ansible_host,store_tags,extra"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "stores.csv"


def ansible_inventory(*arguments: str | Path, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
        "COLUMNS": "1000",
        "ANSIBLE_NOCOLOR": "1",
    }
    command = [sys.executable, "-m", "ansible", "inventory", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def listed(*arguments: str | Path) -> dict[str, Any]:
    done = ansible_inventory(*arguments, "--list")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("8022", 8022),
        ("-3", -3),
        ("2.5", 2.5),
        ("true", True),
        ('"[""a"", 1]"', ["a", 1]),
        ('"{""url"": ""http://cache""}"', {"url": "http://cache"}),
        ('"""2025.4"""', "2025.4"),
        ("2025.4.1", "2025.4.1"),
        ("007", "007"),
        ("22:00", "22:00"),
        ("12e4", "12e4"),
        ("-Infinity", "-Infinity"),
        ("yes", "yes"),
        ("NaN", "NaN"),
        ("  padded ", "padded"),
        ("{{ secret }}", "{{ secret }}"),
    ],
)
def test_a_cell_is_what_json_says_or_text(table: Path, cell: str, value: object) -> None:
    table.write_text(f"{HEAD}\na,,,{cell}\n")
    assert read_stores(table, ",")["a"] == {"extra": value}
    assert type(read_stores(table, ",")["a"]["extra"]) is type(value)


def test_the_variables_of_rollouts_and_addresses_are_text_whatever_they_look_like(table: Path) -> None:
    names = "ansible_host,store_region,store_timezone,store_hardware"
    table.write_text(f"store,{names}\n7,10,1,true,2.5\n")
    assert read_stores(table, ",") == {
        "7": dict(zip(names.split(","), ["10", "1", "true", "2.5"], strict=True)),
    }


@pytest.mark.parametrize("cell", ["canary;flagship", "canary flagship", " canary ; flagship;"])
def test_tags_stand_between_semicolons_or_spaces(table: Path, cell: str) -> None:
    table.write_text(f"{HEAD}\na,,{cell},\n")
    assert read_stores(table, ",")["a"] == {"store_tags": ["canary", "flagship"]}


def test_a_file_of_a_spreadsheet_is_read(table: Path) -> None:
    """With byte order mark, CRLF, semicolons and lines of empty cells."""
    table.write_bytes("\ufeffstore;opened\r\na;Köln\r\n;\r\n\r\nb;\r\n".encode())
    assert read_stores(table, ";") == {"a": {"opened": "Köln"}, "b": {}}


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"", 1, "no column store but nothing"),
        (b"name,x\na,1\n", 1, "no column store but name, x"),
        (b"store;x\na;1\n", 1, "no column store but store;x"),
        (b"store,x,x\n", 1, "column x is there twice"),
        (b"store,my column\n", 1, "column 'my column' is no name of a variable"),
        (b"store,\na,1\n", 1, "column '' is no name of a variable"),
        (b"store,x\na,1\nb,1,2\n", 3, "3 cells, where the first line has 2 columns"),
        (b"store,x\na,1\n\nb\n", 4, "1 cells, where the first line has 2 columns"),
        (b"store,x\na,1\n,2\n", 3, "the store has no name"),
        (b"store,x\n-oProxy,2\n", 2, "-oProxy is no name of a store"),
        (b"store,x\na b,2\n", 2, "a b is no name of a store"),
        (b"store,x\na,1\nb,1\na,2\n", 4, "a stands in line 2 already"),
        (b"store,x\na,1\nb,K\xf6ln\n", 3, "not UTF-8"),
        (b'store,x\na,"1" 2\n', 2, "not CSV"),
        (b'store,x\na,"1\nb,2\n', 3, "not CSV"),
    ],
)
def test_an_error_names_file_and_line(table: Path, content: bytes, line: int, said: str) -> None:
    table.write_bytes(content)
    with pytest.raises(TableError) as raised:
        read_stores(table, ",")
    assert str(raised.value).startswith(f"{table}, line {line}: {said}")
    assert "; " in str(raised.value)


def test_the_example_has_its_groups_and_variables() -> None:
    """The plugin is found by its name in the checkout, and the table is no inventory itself."""
    found = listed("-i", "inventory/example-csv")
    assert "ungrouped" not in found
    assert found["stores"]["hosts"] == ["store-001", "store-002", "store-101", "store-102"]
    assert sorted(found["stores"]["children"]) == [
        "hardware_mtl_16",
        "hardware_mtl_32",
        "region_north",
        "region_south",
    ]
    assert found["region_south"]["hosts"] == ["store-101", "store-102"]
    variables = found["_meta"]["hostvars"]["store-002"]
    assert variables["ovms_server_cache_size"] == 2
    assert "store_tags" not in variables


def test_group_vars_of_a_region_win_over_those_of_all_stores_and_cells_over_both(tmp_path: Path) -> None:
    (tmp_path / "fleet.yml").write_text(
        "{plugin: ovms.edge.csv_stores, path: tables/x.csv, delimiter: ';'}\n"
    )
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "x.csv").write_text("store;store_region;level\na;north;\nb;north;3\nc;;\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "stores.yml").write_text("level: stores\n")
    (tmp_path / "group_vars" / "region_north.yml").write_text("level: region\n")
    found = listed("-i", tmp_path / "fleet.yml")["_meta"]["hostvars"]
    assert {name: found[name]["level"] for name in "abc"} == {"a": "region", "b": 3, "c": "stores"}


def test_groups_are_those_of_the_columns_that_the_file_names(tmp_path: Path) -> None:
    (tmp_path / "stores.csv").write_text("store,store_tags,store_region\na,canary;blue,north\nb,,north\n")
    (tmp_path / "fleet.yml").write_text(
        "plugin: ovms.edge.csv_stores\npath: stores.csv\ngroup: shops\nkeyed_groups:\n"
        "  - {key: store_tags, prefix: tag, separator: '__'}\n  - {key: store_region}\n"
    )
    found = listed("-i", tmp_path / "fleet.yml")
    assert sorted(found["shops"]["children"]) == ["north", "tag__blue", "tag__canary"]
    assert found["tag__blue"]["hosts"] == ["a"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("path: missing.csv", "missing.csv: No such file or directory"),
        ("path: stores.csv, delimiter: '--'", "delimiter is '--'"),
        ("path: stores.csv, keyed_groups: [{key: 'a | b'}]", "keyed_groups has"),
        ("path: stores.csv, keyed_groups: [{prefix: b}]", "keyed_groups has"),
        ("delimiter: ','", "path"),
        ("path: stores.csv", "stores.csv, line 3: a stands in line 2 already; leave one of the two"),
    ],
)
def test_a_bad_source_fails_and_says_why(tmp_path: Path, options: str, said: str) -> None:
    (tmp_path / "stores.csv").write_text("store\na\na\n")
    (tmp_path / "fleet.yml").write_text(f"{{plugin: ovms.edge.csv_stores, {options}}}\n")
    done = ansible_inventory("-i", tmp_path / "fleet.yml", "--list")
    assert done.returncode != 0
    assert said in " ".join(done.stderr.split())


def test_a_directory_may_have_tables_and_files_beside_its_inventory(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("stores: {hosts: {a: }}\n")
    (tmp_path / "table.csv").write_text("store\nb\n")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "depot-ca.pem").write_text("-----BEGIN CERTIFICATE-----\nMII=\n")
    assert listed("-i", tmp_path)["all"]["children"] == ["ungrouped", "stores"]
    assert set(listed("-i", tmp_path)["_meta"]["hostvars"]) == {"a"}
