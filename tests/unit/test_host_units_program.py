"""The units of ``host_files``, against a systemctl that is a script."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils import _host_files_program as program

RUNS = {"LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active", "NeedDaemonReload": "no"}
ABSENT = {
    "LoadState": "not-found",
    "UnitFileState": "",
    "ActiveState": "inactive",
    "NeedDaemonReload": "no",
}


class Systemd:
    """A host's systemctl: says of each unit what it is told to, and remembers what it was asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.units = directory / "units"
        self.units.mkdir()
        (directory / "calls").touch()
        tool = directory / "systemctl"
        tool.write_text(
            "#!/bin/sh\n"
            f"echo \"$@\" >> '{directory}/calls'\n"
            f"[ -f '{directory}/broken' ] && {{ cat '{directory}/broken' >&2; exit 1; }}\n"
            '[ "$1" = show ] || exit 0\n'
            f'shift 2; for name in "$@"; do cat \'{self.units}\'/"$name"; echo; done\n'
        )
        tool.chmod(0o755)

    def has(self, name: str, **properties: str) -> None:
        text = "".join(f"{key}={value}\n" for key, value in properties.items())
        (self.units / name).write_text(text)

    def breaks(self, message: str) -> None:
        (self.directory / "broken").write_text(message)

    @property
    def calls(self) -> list[str]:
        """What was changed."""
        lines = (self.directory / "calls").read_text().splitlines()
        return [line for line in lines if not line.startswith("show ")]


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    (tmp_path / "bin").mkdir()
    (tmp_path / "etc").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr(program, "UNIT_DIRECTORY", f"{tmp_path}/etc/")
    return Systemd(tmp_path / "bin")


def unit_file(tmp_path: Path, name: str = "x.timer", **more: Any) -> dict[str, Any]:
    return {"path": f"{tmp_path}/etc/{name}", "mode": "0644", "content": "[Timer]\n", **more}


def changes(entries: list[dict[str, Any]], check: bool = False) -> dict[str, str]:
    answer = program.apply(entries, check, ["x.timer"])
    assert answer["ok"], answer
    return {Path(change["path"]).name: change["what"] for change in answer["changes"]}


def test_a_new_unit_is_read_enabled_and_started(systemd: Systemd, tmp_path: Path) -> None:
    systemd.has("x.timer", **ABSENT)
    answer = program.apply([unit_file(tmp_path)], False, ["x.timer"])
    assert answer["changes"][1] == {
        "path": "x.timer",
        "what": "unit",
        "before": "not there, inactive\n",
        "after": "enabled, active\n",
    }
    assert systemd.calls == ["daemon-reload", "enable --now x.timer"]


def test_a_second_time_nothing_is_done(systemd: Systemd, tmp_path: Path) -> None:
    systemd.has("x.timer", **RUNS)
    program.apply([unit_file(tmp_path)], False)
    assert changes([unit_file(tmp_path)]) == {}
    assert systemd.calls == []


@pytest.mark.parametrize("wrong", [{"ActiveState": "inactive"}, {"UnitFileState": "disabled"}])
def test_a_unit_that_somebody_stopped_or_disabled_comes_back(
    systemd: Systemd, tmp_path: Path, wrong: dict[str, str]
) -> None:
    systemd.has("x.timer", **{**RUNS, **wrong})
    program.apply([unit_file(tmp_path)], False)
    assert changes([unit_file(tmp_path)]) == {"x.timer": "unit"}
    assert systemd.calls == ["enable --now x.timer"]


def test_a_changed_file_is_read_and_what_runs_goes_on(systemd: Systemd, tmp_path: Path) -> None:
    systemd.has("x.timer", **RUNS)
    assert changes([unit_file(tmp_path)]) == {"x.timer": "created"}
    assert systemd.calls == ["daemon-reload"]


def test_a_file_that_a_killed_run_wrote_is_read_at_the_next(systemd: Systemd, tmp_path: Path) -> None:
    systemd.has("x.timer", **RUNS)
    systemd.has("x.service", **{**RUNS, "NeedDaemonReload": "yes"})
    entries = [unit_file(tmp_path, "x.service"), unit_file(tmp_path)]
    program.apply(entries, False)
    assert changes(entries) == {}
    assert systemd.calls == ["daemon-reload"]


def test_a_check_says_what_would_be_and_does_nothing(systemd: Systemd, tmp_path: Path) -> None:
    systemd.has("x.timer", **ABSENT)
    assert changes([unit_file(tmp_path)], check=True) == {"x.timer": "unit"}
    assert systemd.calls == []
    assert not (tmp_path / "etc/x.timer").exists()


def test_a_check_works_where_there_is_no_systemd_yet(systemd: Systemd, tmp_path: Path) -> None:
    systemd.breaks("System has not been booted with systemd")
    assert changes([unit_file(tmp_path)], check=True) == {"x.timer": "unit"}


def test_units_wait_until_all_files_are_there(systemd: Systemd, tmp_path: Path) -> None:
    systemd.has("x.timer", **ABSENT)
    tool = {"path": f"{tmp_path}/tool", "mode": "0755", "sha256": "0" * 64}
    answer = program.apply([unit_file(tmp_path), tool], False, ["x.timer"])
    assert [change["path"] for change in answer["changes"]] == [f"{tmp_path}/etc/x.timer", f"{tmp_path}/tool"]
    assert systemd.calls == []
    sent = {"path": f"{tmp_path}/tool", "mode": "0755", "data": base64.b64encode(b"#!").decode()}
    assert changes([sent]) == {"tool": "created", "x.timer": "unit"}


def test_a_drop_in_is_its_units(systemd: Systemd, tmp_path: Path) -> None:
    systemd.has("x.timer", **RUNS)
    assert changes([unit_file(tmp_path, "x.timer.d/more.conf")]) == {"more.conf": "created"}
    assert systemd.calls == ["daemon-reload"]


def test_what_systemd_refuses_is_said(systemd: Systemd, tmp_path: Path) -> None:
    systemd.breaks("Access denied")
    answer = program.apply([unit_file(tmp_path)], False, ["x.timer"])
    assert not answer["ok"]
    assert "x.timer: Access denied; see systemctl status on the host" in answer["msg"]
    assert len(answer["changes"]) == 1


def test_no_systemctl_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = program.apply([], False, ["x.timer"])
    assert answer["msg"] == "systemctl: No such file or directory; units need a host that systemd runs"


def test_without_units_systemd_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program.apply([unit_file(tmp_path)], False, [])["ok"]
