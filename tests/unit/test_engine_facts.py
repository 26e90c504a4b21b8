from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.node.docker import Docker
from ovms_edge.node.engine_facts import d_type, engine_facts, file_system, has_data, packages_in

STATUS = """\
Package: docker.io
Status: hold ok installed
Version: 26.1.5+dfsg1-9
Description: engine
 Package: docker-ce is another one

Package: docker-cli
Status: install ok installed
Version: 26.1.5+dfsg1-9

Package: docker-ce
Status: deinstall ok config-files
Version: 5:28.0.1-1

Package: docker.io-doc
Status: install ok installed
Version: 1
"""
MOUNTS = r"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:26 / /srv/images rw - nfs4 server:/images rw
31 22 8:1 / /srv/two\040words rw - xfs /dev/sda1 rw
32 22 8:2 / /srv/images rw - btrfs /dev/sdb1 rw
""".strip()


class Engine:
    def __init__(self, info: dict[str, Any] | None) -> None:
        self._info = info

    def version(self, timeout: float) -> dict[str, Any]:
        if self._info is None:
            raise EdgeError("Docker Engine does not run", "start it")
        return {"Version": "26.1.5+dfsg1"}

    def info(self, timeout: float) -> dict[str, Any]:
        assert self._info is not None
        return self._info


def facts(host: Path, info: dict[str, Any] | None = None, wanted: Path | None = None) -> dict[str, Any]:
    return engine_facts(cast(Docker, Engine(info)), wanted, host)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_packages_that_are_installed_are_told_with_version_and_hold() -> None:
    assert packages_in(STATUS) == {
        "docker.io": {"version": "26.1.5+dfsg1-9", "held": True},
        "docker-cli": {"version": "26.1.5+dfsg1-9", "held": False},
    }


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "ext4"), ("/srv/images/new", "btrfs"), ("/srv/two words", "xfs"), ("/srv/imagesque", "ext4")],
)
def test_the_file_system_is_that_of_the_nearest_mount_and_the_last_one_there(
    path: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ovms_edge.node.engine_facts.existing_parent", lambda path: path)
    assert file_system(Path(path), MOUNTS) == kind


@pytest.mark.parametrize(
    ("made", "data"),
    [
        ([], False),
        (["overlay2/l", "containers", "volumes"], False),
        (["overlay2/0a1b"], True),
        (["containers/0a1b"], True),
        (["volumes/models"], True),
        (["vfs/dir/0a1b"], True),
    ],
)
def test_a_root_has_data_once_there_is_a_layer_a_container_or_a_volume(
    tmp_path: Path, made: list[str], data: bool
) -> None:
    put(tmp_path / "volumes/metadata.db", "")
    for directory in made:
        (tmp_path / directory).mkdir(parents=True, exist_ok=True)
    assert has_data(tmp_path) is data


@pytest.mark.parametrize(("told", "found"), [("true", True), ("false", False), (None, None)])
def test_d_type_is_what_the_engine_says(told: str | None, found: bool | None) -> None:
    status = [["Backing Filesystem", "extfs"]] + ([["Supports d_type", told]] if told else [])
    assert d_type({"DriverStatus": status}) is found


def test_a_bare_host_has_no_engine_and_a_place_for_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = facts(tmp_path)
    assert (found["installed"], found["running"], found["source"], found["packages"]) == (
        False,
        False,
        None,
        {},
    )
    assert (found["root"], found["live_restore"], found["driver"]) == ("/var/lib/docker", None, None)
    assert found["disk"]["free_bytes"] > 0


def test_a_running_engine_says_where_its_data_is(tmp_path: Path) -> None:
    put(tmp_path / "var/lib/dpkg/status", STATUS)
    wanted = tmp_path / "wanted"
    found = facts(
        tmp_path,
        {
            "DockerRootDir": str(tmp_path / "data"),
            "LiveRestoreEnabled": False,
            "Driver": "overlay2",
            "Swarm": {"LocalNodeState": "inactive"},
        },
        wanted,
    )
    assert (found["version"], found["source"], found["live_restore"]) == (
        "26.1.5+dfsg1",
        "distribution",
        False,
    )
    assert (found["root"], found["disk"]["path"]) == (str(tmp_path / "data"), str(wanted))
    assert (found["driver"], found["swarm"]) == ("overlay2", False)


@pytest.mark.parametrize(("suffix", "outdated"), [(" (deleted)", True), ("", False)])
def test_an_engine_whose_program_was_replaced_is_outdated(
    tmp_path: Path, suffix: str, outdated: bool
) -> None:
    put(tmp_path / "run/docker.pid", "77")
    (tmp_path / "proc/77").mkdir(parents=True)
    (tmp_path / "proc/77/exe").symlink_to(f"/usr/sbin/dockerd{suffix}")
    assert facts(tmp_path, {})["outdated"] is outdated
    assert not facts(tmp_path)["outdated"]  # and does not run


def test_an_engine_that_is_in_no_package_is_another_ones(tmp_path: Path) -> None:
    assert facts(tmp_path, {"Swarm": {"LocalNodeState": "active"}})["source"] == "other"
    assert facts(tmp_path, {"Swarm": {"LocalNodeState": "active"}})["swarm"]


@pytest.mark.parametrize(
    ("text", "root"),
    [('{"data-root": "/srv/docker"}', "/srv/docker"), ("{", "/var/lib/docker"), ("[]", "/var/lib/docker")],
)
def test_an_engine_that_does_not_run_keeps_its_data_where_its_settings_say(
    tmp_path: Path, text: str, root: str
) -> None:
    put(tmp_path / "etc/docker/daemon.json", text)
    assert facts(tmp_path)["root"] == root


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("docker.list", "deb [signed-by=/x] https://download.docker.com/linux/debian trixie stable", True),
        ("a.sources", "Types: deb\nURIs: http://mirror.example/docker-ce/linux/ubuntu\n", True),
        ("docker.list", "# deb https://download.docker.com/linux/debian trixie stable", False),
        ("docker.list.save", "deb https://download.docker.com/linux/debian trixie stable", False),
        ("debian.sources", "URIs: http://mirror.example/debian\n", False),
    ],
)
def test_lists_that_have_dockers_repository_are_found(
    tmp_path: Path, name: str, text: str, found: bool
) -> None:
    path = tmp_path / "etc/apt/sources.list.d" / name
    put(path, text)
    assert facts(tmp_path)["repositories"] == ([str(path)] if found else [])
