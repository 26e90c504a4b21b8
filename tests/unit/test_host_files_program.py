from __future__ import annotations

import base64
import grp
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils import _host_files_program as program


def content(path: Path, text: str, mode: str = "0644", **more: Any) -> dict[str, Any]:
    return {"path": str(path), "mode": mode, "content": text, **more}


def merge(path: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    return {"path": str(path), "mode": "0600", "merge": wanted}


def changed(entries: list[dict[str, Any]], check: bool = False) -> list[str]:
    answer = program.apply(entries, check)
    assert answer["ok"], answer
    return [change["what"] for change in answer["changes"]]


def mode_of(path: Path) -> str:
    return f"{path.stat().st_mode & 0o7777:04o}"


def test_a_file_is_made_with_its_mode_and_the_directories_above_it(tmp_path: Path) -> None:
    path = tmp_path / "a/b/file"
    assert changed([content(path, "x", "0600")]) == ["created"]
    assert path.read_text() == "x"
    assert mode_of(path) == "0600"


def test_a_second_time_nothing_changes(tmp_path: Path) -> None:
    entries = [content(tmp_path / "f", "x"), merge(tmp_path / "j", {"a": {"b": 1}})]
    entries.append({"path": str(tmp_path / "d"), "mode": "0750", "directory": True})
    assert changed(entries) == ["created"] * 3
    assert changed(entries) == []


def test_a_check_says_the_same_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new/file"
    assert changed([content(path, "x")], check=True) == ["created"]
    assert not path.parent.exists()


def test_only_a_wrong_mode_is_mended_without_rewriting(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    path.chmod(0o666)
    inode = path.stat().st_ino
    assert changed([content(path, "x")]) == ["mode"]
    assert (mode_of(path), path.stat().st_ino) == ("0644", inode)


def test_merging_keeps_what_else_is_there(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text('{"live-restore": true, "log-opts": {"labels": "a", "max-size": "1m"}}')
    assert changed([merge(path, {"log-opts": {"max-size": "10m"}})]) == ["content"]
    assert json.loads(path.read_text()) == {
        "live-restore": True,
        "log-opts": {"labels": "a", "max-size": "10m"},
    }


def test_merging_leaves_a_file_that_already_says_so_byte_by_byte(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"b":1,\t"a": 2}')
    path.chmod(0o600)
    assert changed([merge(path, {"a": 2})]) == []
    assert path.read_text() == '{"b":1,\t"a": 2}'


@pytest.mark.parametrize("text", ["{", "[]", "log-driver: x"])
def test_a_file_that_is_no_json_object_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(text)
    answer = program.apply([merge(path, {"a": 1})], check=False)
    assert not answer["ok"]
    assert str(path) in answer["msg"]
    assert "mend it" in answer["msg"]
    assert path.read_text() == text


def test_an_empty_json_file_counts_as_an_empty_object(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text("\n")
    assert changed([merge(path, {"a": 1})]) == ["content"]


def test_a_source_is_asked_for_only_when_the_hosts_copy_differs(tmp_path: Path) -> None:
    path, data = tmp_path / "tool", b"\x00zip"
    digest = {"path": str(path), "mode": "0755", "sha256": hashlib.sha256(data).hexdigest()}
    (change,) = program.apply([digest], check=False)["changes"]
    assert change["wants_data"] is True
    assert not path.exists()
    changed([{"path": str(path), "mode": "0755", "data": base64.b64encode(data).decode()}])
    assert (path.read_bytes(), mode_of(path)) == (data, "0755")
    assert changed([digest]) == []


def test_a_secret_is_in_no_diff(tmp_path: Path) -> None:
    answer = program.apply([content(tmp_path / "f", "hunter2", secret=True)], check=True)
    assert "hunter2" not in json.dumps(answer)


def test_a_failing_write_keeps_the_old_file_and_leaves_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    answer = program.apply([content(path, "new")], check=False)
    assert not answer["ok"]
    assert "No space left on device" in answer["msg"]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_group_that_the_host_lacks_is_refused_but_no_obstacle_to_a_check(tmp_path: Path) -> None:
    entry = content(tmp_path / "keys", "x", "0640", group="no-such-group")
    assert changed([entry], check=True) == ["created"]
    answer = program.apply([entry], check=False)
    assert not answer["ok"]
    assert "group no-such-group, which the host has not" in answer["msg"]
    assert list(tmp_path.iterdir()) == []


def test_a_files_group_is_given_and_mended(tmp_path: Path) -> None:
    # Root may give a file away; anybody else has a group to give it to.
    found = grp.getgrnam("daemon") if os.getuid() == 0 else grp.getgrgid(os.getgid())
    entry = content(tmp_path / "keys", "x", "0640", group=found.gr_name)
    assert changed([entry]) == ["created"]
    assert (tmp_path / "keys").stat().st_gid == found.gr_gid
    assert mode_of(tmp_path / "keys") == "0640"
    assert changed([entry]) == []


def test_content_that_its_own_program_refuses_replaces_nothing(tmp_path: Path) -> None:
    path, later = tmp_path / "config", tmp_path / "later"
    path.write_text("good")
    try_it = ["sh", "-c", 'grep -q good "$1" || { echo "line 1 of $1 is bad"; exit 1; }', "sh", "%s"]
    answer = program.apply([content(path, "bad", validate=try_it), content(later, "x")], check=False)
    assert not answer["ok"]
    assert answer["msg"] == f"{path} is refused by sh, and the old one was kept: line 1 of {path} is bad"
    assert (path.read_text(), later.exists()) == ("good", False)
    assert list(tmp_path.iterdir()) == [path]
    assert changed([content(path, "good too", validate=try_it)]) == ["content"]


def test_a_program_that_is_missing_refuses_too(tmp_path: Path) -> None:
    answer = program.apply([content(tmp_path / "f", "x", validate=["/no/such", "%s"])], check=False)
    assert "could not be tried: /no/such: No such file or directory" in answer["msg"]
    assert list(tmp_path.iterdir()) == []


def test_a_check_tries_nothing(tmp_path: Path) -> None:
    entry = content(tmp_path / "f", "x", validate=["false"])
    assert changed([entry], check=True) == ["created"]


@pytest.fixture
def group_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where groupadd and groupmod, that are scripts, write how they were called."""
    calls = tmp_path / "calls"
    calls.touch()
    for name in ("groupadd", "groupmod"):
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\necho {name} \"$@\" >> '{calls}'\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    known = [grp.struct_group(("daemon", "x", 1, [])), grp.struct_group(("render", "x", 105, []))]
    monkeypatch.setattr(program.grp, "getgrall", lambda: known)
    return calls


@pytest.mark.parametrize(
    ("gid", "name", "call"),
    [
        (1, "render", ""),
        (105, "other", ""),
        (993, "other", "groupadd --system --gid 993 other\n"),
        (993, "render", "groupmod --gid 993 render\n"),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_a_number_without_a_name_gets_the_group(
    group_tools: Path, gid: int, name: str, call: str, check: bool
) -> None:
    answer = program.apply([], check, groups=[{"gid": gid, "name": name}])
    assert [change["path"] for change in answer["changes"]] == ([name] if call else [])
    assert group_tools.read_text() == ("" if check else call)


def test_a_group_that_cannot_be_made_is_said(group_tools: Path) -> None:
    (group_tools.parent / "bin/groupadd").write_text("#!/bin/sh\necho is locked >&2; exit 10\n")
    answer = program.apply([], False, groups=[{"gid": 993, "name": "other"}])
    assert answer["msg"] == "groupadd --system --gid 993 other: is locked; see /etc/group on the host"
