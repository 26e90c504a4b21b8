"""The parts of ``ovms-node decommission`` that decide; tests/e2e/test_decommission.py runs it on a store."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ovms.edge.plugins.action.decommission import summary
from ovms_edge.node import remove_files
from ovms_edge.node.installed import Installed, RecordedFile
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.removal import Removal
from ovms_edge.node.remove_containers import own_container, own_images, remove_containers
from ovms_edge.node.remove_engine import undoing
from ovms_edge.node.remove_files import (
    own_files,
    remove_config,
    remove_directories,
    remove_state,
    restore_files,
)
from ovms_edge.node.remove_packages import installed_packages, simulated, targets, wanted_by_others
from ovms_edge.node.unfinished import Unfinished

SAVED = """\
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER_OUTPUT - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -d 127.0.0.11/32 -j DOCKER_OUTPUT
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -i eth0 -j ACCEPT
COMMIT
"""


class Engine:
    """An engine's lists, and what it was told to remove."""

    def __init__(self, containers: list[dict[str, Any]], images: list[dict[str, Any]]) -> None:
        self._containers, self._images = containers, images
        self.inside: dict[str, Any] = {}
        self.gone: list[str] = []

    def containers(self) -> list[dict[str, Any]]:
        return self._containers

    def images(self) -> list[dict[str, Any]]:
        return self._images

    def networks(self) -> list[dict[str, Any]]:
        return [
            {"Name": "bridge", "Id": "n0", "Labels": {}},
            {"Name": "ovms-edge", "Id": "n1", "Labels": {"ovms-edge.network": "1"}},
        ]

    def network(self, name: str) -> dict[str, Any]:
        return {"Containers": self.inside}

    def volumes(self) -> list[dict[str, Any]]:
        return []

    def remove(self, name: str) -> None:
        self.gone.append(name)

    remove_network = remove_image = remove


def container(name: str, **labels: str) -> dict[str, Any]:
    return {"Id": f"id-{name}", "Names": [f"/{name}"], "ImageID": f"sha256:{name}", "Labels": labels}


def image(identity: str, *tags: str) -> dict[str, Any]:
    return {"Id": identity, "RepoTags": list(tags) or None, "RepoDigests": None}


def containers_removed(removal: Removal, engine: Engine, directory: Path) -> str:
    unfinished = Unfinished(directory / "unfinished.json")
    return remove_containers(removal, engine, StatePaths(directory), unfinished)  # type: ignore[arg-type]


def taken(removal: Removal) -> list[str]:
    return [Path(entry["name"]).name for entry in removal.removed]


def test_packages_and_what_came_with_them_go_and_nothing_that_was_before() -> None:
    each = {"haproxy": {"haproxy", "haproxy-doc"}, "nftables": {"nftables", "ufw"}}
    gone, stay = targets(["haproxy", "nftables"], frozenset({"ufw"}), set(), each)
    assert gone == {"haproxy", "haproxy-doc"}
    assert stay == {"nftables": {"ufw"}}


def test_what_nobody_needed_already_is_not_ours_to_remove() -> None:
    assert targets(["a"], frozenset(), {"old"}, {"a": {"a", "old"}}) == ({"a"}, {})


def test_apts_simulation_is_read() -> None:
    assert simulated("Reading...\nPurg haproxy [2.6]\nRemv tini [0.19]\nInst x\n") == {"haproxy", "tini"}
    text = "Package: a\nStatus: install ok installed\n\nPackage: b\nStatus: deinstall ok config-files\n"
    assert installed_packages(text) == {"a"}


def test_what_a_package_of_others_recommends_since_stays() -> None:
    status = "\n\n".join(
        f"Package: {name}\nStatus: install ok installed\nRecommends: {wanted}"
        for name, wanted in (("ours", "aa"), ("tar", "bb"), ("theirs", "cc (>= 1), dd | ee"))
    )
    assert wanted_by_others(status, {"ours"}, frozenset({"tar"})) == {"cc", "dd", "ee"}


def test_rules_of_the_engine_go_and_those_of_an_outer_one_stay() -> None:
    assert undoing(SAVED) == [
        ["-t", "nat", "-D", "PREROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "DOCKER"],
        ["-t", "nat", "-D", "POSTROUTING", "-s", "172.17.0.0/16", "!", "-o", "docker0", "-j", "MASQUERADE"],
        ["-t", "filter", "-D", "FORWARD", "-j", "DOCKER-USER"],
        ["-t", "nat", "-F", "DOCKER"],
        ["-t", "filter", "-F", "DOCKER-USER"],
        ["-t", "nat", "-X", "DOCKER"],
        ["-t", "filter", "-X", "DOCKER-USER"],
    ]


def test_a_container_is_ours_by_label_and_name() -> None:
    assert own_container(container("ovms-vlm-a", **{"ovms-edge.spec": "x"}))
    assert not own_container(container("ovms-vlm-a"))
    assert not own_container(container("till", **{"ovms-edge.spec": "x"}))


def test_images_are_known_by_state_containers_and_what_was_loaded(tmp_path: Path) -> None:
    paths = StatePaths(tmp_path)
    active = {"settings": {"image": "depot/server:1"}}
    paths.state.write_text(json.dumps({"active": active, "previous": None}))
    paths.images.write_text(json.dumps({"sha256:1": "sha256:2"}))
    found = own_images(paths, [container("ovms-vlm-a")])
    assert found == {"depot/server:1", "sha256:2", "sha256:ovms-vlm-a"}


def test_an_engine_that_others_use_stays_and_only_ours_goes(tmp_path: Path) -> None:
    own = container("ovms-vlm-a", **{"ovms-edge.spec": "x"})
    engine = Engine(
        [own, container("till")], [image("sha256:ovms-vlm-a", "depot/server:1"), image("i", "till:1")]
    )
    removal = Removal(check=False)
    why = containers_removed(removal, engine, tmp_path)
    assert engine.gone == ["id-ovms-vlm-a", "n1", "depot/server:1"]
    assert why == "container till is none of ours"


def test_a_network_with_containers_of_others_stays(tmp_path: Path) -> None:
    engine = Engine([], [])
    engine.inside = {"till": {}}
    removal = Removal(check=False)
    containers_removed(removal, engine, tmp_path)
    assert (engine.gone, [entry["name"] for entry in removal.left]) == ([], ["ovms-edge"])


def test_a_check_removes_nothing(tmp_path: Path) -> None:
    engine = Engine([container("ovms-vlm-a", **{"ovms-edge.spec": "x"})], [image("i", "ovms-edge-alias:1")])
    (tmp_path / "state/releases").mkdir(parents=True)
    removal = Removal(check=True)
    assert containers_removed(removal, engine, tmp_path) == ""
    remove_state(removal, tmp_path / "state", keep_releases=False)
    assert engine.gone == []
    assert (tmp_path / "state/releases").is_dir()
    assert taken(removal) == ["ovms-vlm-a", "ovms-edge", "ovms-edge-alias:1", "releases"]


def test_files_are_ours_by_name(tmp_path: Path) -> None:
    names = ("a.d/52ovms-edge", "a.d/ovms-edge.conf", "x/ovms_edge.fact", "x/01-ovms-edge.conf")
    others = (
        "a.d/ovms-lab.conf",
        "x/backup-ovms-edge.tar",
        "ovms-edge/node.json",
        "ovms-edge-site-cache.conf",
    )
    for name in (*names, *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert own_files(tmp_path) == sorted(tmp_path / name for name in names)


def test_of_the_state_directory_only_ours_goes(tmp_path: Path) -> None:
    for name in ("releases", "cache", "photos"):
        (tmp_path / name).mkdir()
    removal = Removal(check=False)
    remove_state(removal, tmp_path, keep_releases=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "releases"]
    assert [entry["why"] for entry in removal.left] == [
        "decommission_keep_releases",
        "it holds what is not ours: photos",
    ]


def test_a_file_gets_back_what_it_had_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"ours")
    file = RecordedFile(path, b"theirs", 0o604, sha256=hashlib.sha256(b"before that").hexdigest())
    changed = Removal(check=False)
    restore_files(changed, Installed(files=(file,)))
    assert [entry["why"] for entry in changed.left] == ["somebody else changed it after us"]
    file = RecordedFile(path, b"theirs", 0o604, sha256=hashlib.sha256(b"ours").hexdigest())
    for expected in (["file"], []):
        removal = Removal(check=False)
        restore_files(removal, Installed(files=(file,)))
        assert (taken(removal), removal.left) == (expected, [])
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"theirs", 0o604)


def test_what_a_write_that_was_cut_off_left_in_the_state_directory_goes(tmp_path: Path) -> None:
    for name in (".state.json.new", ".photos.new"):
        (tmp_path / name).touch()
    removal = Removal(check=False)
    remove_state(removal, tmp_path, keep_releases=False)
    assert (taken(removal), [entry["why"] for entry in removal.left]) == (
        [".state.json.new"],
        ["it holds what is not ours: .photos.new"],
    )


def test_the_cache_of_a_site_is_left_and_no_reason_to_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remove_files, "CONFIG_DIRECTORY", tmp_path)
    for name in ("site-cache", "node.json", "record/originals"):
        (tmp_path / name).mkdir(parents=True)
    for expected in ([tmp_path.name], []):
        removal = Removal(check=False)
        remove_config(removal)
        assert (taken(removal), [path.name for path in tmp_path.iterdir()]) == (expected, ["site-cache"])
        assert [entry["name"] for entry in removal.left] == [str(tmp_path / "site-cache")]


def test_directories_go_from_below_and_not_with_what_others_put_there(tmp_path: Path) -> None:
    for name in ("a/b", "c"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "c/theirs").touch()
    removal = Removal(check=False)
    remove_directories(removal, [tmp_path / "a", tmp_path / "a/b", tmp_path / "c"])
    assert taken(removal) == ["b", "a"]


def test_the_summary_says_when_there_is_nothing() -> None:
    assert summary(Removal(check=False).document, check=False) == ["there is nothing of ours on this host"]
    removal = Removal(check=True)
    removal.take("package", "haproxy")
    removal.leave("file", "/x", "why")
    assert summary(removal.document, check=True) == [
        "would be removed: package haproxy",
        "left: file /x: why",
    ]
