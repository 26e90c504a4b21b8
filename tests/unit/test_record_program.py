"""What is put on record before a host is changed, and what taking it back makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils import _host_files_program as files
from ansible_collections.ovms.edge.plugins.plugin_utils import _record_program as program
from ansible_collections.ovms.edge.plugins.plugin_utils._file_changes import files_call
from ansible_collections.ovms.edge.plugins.plugin_utils._host_program import program_of
from ovms_edge.errors import EdgeError
from ovms_edge.node.installed import Installed, load_installed, restored

STATUS = """\
Package: haproxy
Status: install ok installed
Version: 1

Package: openssl
Status: deinstall ok config-files
Version: 1

Package: nftables
Essential: no
Status: hold ok installed
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(program, "DPKG_STATUS", tmp_path / "status")
    (tmp_path / "status").write_text(STATUS)
    return tmp_path


def entry(path: Path, **more: Any) -> dict[str, Any]:
    return {"path": str(path), "mode": "0640", **more}


def apply(host: Path, *entries: dict[str, Any], check: bool = False) -> Installed:
    """Have the files written, and return what is on record then."""
    answer = files.apply(list(entries), check, record=str(host / "conf/record"))
    assert answer["ok"], answer
    return load_installed(host / "conf/record")


def undone(installed: Installed, path: Path) -> bytes | None:
    (file,) = [file for file in installed.files if file.path == path]
    return restored(file, path.read_bytes() if path.exists() else None)


def test_packages_that_are_installed_are_those_that_dpkg_says_so_of() -> None:
    assert program.installed_packages(STATUS) == {"haproxy", "nftables"}


def test_a_file_that_was_not_there_goes_again_with_the_directories_above_it(host: Path) -> None:
    path = host / "etc/app/file"
    installed = apply(host, entry(path, content="ours"))
    assert undone(installed, path) is None
    assert set(installed.directories) == {host / "etc", host / "etc/app"}


def test_a_file_that_was_there_gets_its_first_content_and_mode_back(host: Path) -> None:
    path = host / "file"
    path.write_text("theirs")
    path.chmod(0o604)
    apply(host, entry(path, content="ours"))
    installed = apply(host, entry(path, content="ours again"))
    assert undone(installed, path) == b"theirs"
    assert installed.files[0].mode == 0o604


def test_what_somebody_else_wrote_meanwhile_stays(host: Path) -> None:
    path = host / "file"
    installed = apply(host, entry(path, content="ours"))
    path.write_text("somebody's")
    assert undone(installed, path) == b"somebody's"


def test_it_is_on_record_before_it_is_done(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    path = host / "file"
    path.write_text("theirs")
    monkeypatch.setattr(files, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        files.apply([entry(path, content="ours")], False, record=str(host / "conf/record"))
    assert undone(load_installed(host / "conf/record"), path) == b"theirs"


@pytest.mark.parametrize(("before", "set_since", "after"), [
    (None, {}, None),
    (None, {"dns": ["1.1.1.1"]}, {"dns": ["1.1.1.1"]}),
    ({"dns": ["1.1.1.1"]}, {}, {"dns": ["1.1.1.1"]}),
    ({"log": {"size": "1m"}}, {}, {"log": {"size": "1m"}}),
    ({"log": {"colour": "red"}}, {}, {"log": {"colour": "red"}}),
    ({}, {"live": False}, {"live": False}),
    ({"live": True}, {}, {"live": True}),
])  # fmt: skip
def test_of_a_merged_file_only_our_keys_are_taken_out(
    host: Path, before: dict[str, Any] | None, set_since: dict[str, Any], after: dict[str, Any] | None
) -> None:
    path = host / "daemon.json"
    if before is not None:
        path.write_text(json.dumps(before))
    installed = apply(host, entry(path, merge={"live": True, "log": {"size": "9m", "count": 3}}))
    path.write_text(json.dumps({**json.loads(path.read_text()), **set_since}))
    found = undone(installed, path)
    assert (None if found is None else json.loads(found)) == after
    if before is not None and not set_since:
        assert found == json.dumps(before).encode()


def test_a_merged_password_is_on_record_nowhere(host: Path) -> None:
    apply(host, entry(host / "config.json", merge={"auths": {"depot:5000": {"auth": "c2VjcmV0"}}}))
    texts = [path.read_bytes() for path in (host / "conf").rglob("*") if path.is_file()]
    assert texts
    assert not [text for text in texts if b"c2VjcmV0" in text]


def test_what_bears_our_name_needs_no_record(host: Path) -> None:
    installed = apply(host, entry(host / "etc/50-ovms-edge.conf", content="ours"))
    assert installed.files == ()
    assert installed.directories == (host / "etc",)


def test_only_root_reads_the_record(host: Path) -> None:
    path = host / "file"
    path.write_text("theirs")
    apply(host, entry(path, content="ours"))
    assert (host / "conf/record").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (host / "conf/record").rglob("*") if path.is_file()} == {
        0o600
    }


def test_a_check_puts_nothing_on_record(host: Path) -> None:
    assert not apply(host, entry(host / "file", content="ours"), check=True).found
    assert not (host / "conf").exists()


def test_packages_that_are_there_are_not_ours(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "RECORD", str(host / "conf/record"))
    program.note_packages(["haproxy", "openssl"], check=True)
    assert not (host / "conf").exists()
    program.note_packages(["haproxy", "openssl"], check=False)
    installed = load_installed(host / "conf/record")
    assert (installed.packages, installed.packages_before) == (("openssl",), {"haproxy", "nftables"})


def test_a_file_that_is_to_be_absent_is_removed(host: Path) -> None:
    path = host / "file"
    path.write_text("x")
    answer = files.apply([{"path": str(path), "absent": True}] * 2, False)
    assert [change["what"] for change in answer["changes"]] == ["removed"]
    assert not path.exists()


def test_a_damaged_record_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "installed.json").write_text("{}")
    with pytest.raises(EdgeError, match=r"installed.json is damaged: 'schema'; mend it, or move"):
        load_installed(tmp_path)


def test_the_program_for_the_host_brings_the_record_along(host: Path) -> None:
    call = files_call([entry(host / "file", content="ours")], check=True)
    done = subprocess.run(
        [sys.executable, "-I", "-"], input=program_of([call]), capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout)["answers"][0]["changes"][0]["what"] == "created", done.stderr
