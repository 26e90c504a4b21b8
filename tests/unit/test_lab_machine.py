"""What the lab decides about the machine that carries it."""

import os
from pathlib import Path

import pytest

from lab.fleet import engine, files, firewall, host_packages, images, made, standin
from lab.fleet.settings import Settings
from ovms_edge.errors import EdgeError

PLAN = """\
Reading package lists...
Inst runc (1.1.5 Debian:12 [amd64])
Inst curl [7.88] (7.89 Debian:12 [amd64]) []
Inst docker.io (20.10 Debian:12 [amd64])
Conf runc (1.1.5 Debian:12 [amd64])
"""

RULES = """\
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A POSTROUTING -s 10.1.0.0/16 -j MASQUERADE
COMMIT
*mangle
:FORWARD ACCEPT [0:0]
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [7:420]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A INPUT -p tcp --dport 22 -j ACCEPT
COMMIT
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


def test_an_upgrade_is_no_package_of_ours() -> None:
    assert host_packages.parse_plan(PLAN) == ["docker.io", "runc"]


def test_mmdebstrap_is_needed_only_where_it_makes_the_base() -> None:
    def programs(base: str) -> set[str]:
        return {need.program for need in host_packages.needs(base, ("docker.io",))}

    assert programs("mmdebstrap") - programs("pull") == {"mmdebstrap"}


def test_dockers_rules_go_and_others_stay() -> None:
    kept = firewall.without_docker(RULES, "ACCEPT").splitlines()
    assert "-A POSTROUTING -s 10.1.0.0/16 -j MASQUERADE" in kept
    assert "-A INPUT -p tcp --dport 22 -j ACCEPT" in kept
    assert not [line for line in kept if "DOCKER" in line or "docker0" in line]


def test_the_policy_of_filter_comes_back_and_no_other() -> None:
    kept = firewall.without_docker(
        RULES.replace("*mangle\n:FORWARD ACCEPT", "*mangle\n:FORWARD DROP"), "ACCEPT"
    )
    assert ":FORWARD ACCEPT [0:0]" in kept.split("*filter")[1]
    assert ":FORWARD DROP [0:0]" in kept.split("*filter")[0]


def test_sources_are_the_hosts_own_mirrors_for_another_suite() -> None:
    listed = (
        "http://mirror.example/debian/|bookworm|main\n"
        "http://mirror.example/debian/|bookworm-updates|main\n"
        "http://mirror.example/debian-security/|bookworm-security|main\n"
        "http://mirror.example/debian/|bookworm|contrib\n"
        "https://vendor.example/apt/|stable|main\n"
    )
    assert images.translate_sources(listed, "bookworm", "trixie") == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb http://mirror.example/debian-security trixie-security main",
    ]


def test_a_recycled_process_id_is_not_our_engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "answers", lambda: False)
    pid_file = settings.home / "host" / "dockerd.pid"
    pid_file.parent.mkdir(parents=True)
    pid_file.write_text(str(os.getpid()))
    engine.stop(settings)  # would end this very process


def test_an_engine_that_still_answers_is_not_ours_to_undo(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "answers", lambda: True)
    monkeypatch.setattr(engine, "_systemd", lambda: False)
    with pytest.raises(EdgeError, match="still answers"):
        engine.stop(settings)


def test_data_that_nobody_looked_into_stays(settings: Settings, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    files.write_json(settings.home / "host" / "engine.json", {"made": [str(data)]})
    with pytest.raises(EdgeError, match="whose data is in"):
        engine.require_known_empty(settings)
    engine.note(settings, empty=True)
    engine.require_known_empty(settings)


def test_what_is_mounted_in_a_directory_is_found_once() -> None:
    table = "".join(
        f"nsfs {place} nsfs rw 0 0\n"
        for place in ("/run/docker/netns/default", "/run/docker2", "/data/a/b", "/data/a", "/data/ab", "/")
    )
    assert engine.mounts_in(Path("/run/docker"), table) == ["/run/docker/netns/default"]
    assert engine.mounts_in(Path("/data/a"), table) == ["/data/a"]
    assert engine.mounts_in(Path("/data"), table) == ["/data/a", "/data/ab"]
    assert engine.mounts_in(Path("/var"), table) == []


def test_the_mount_that_a_killed_engine_leaves_on_its_data_goes_first(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    asked = []
    table = tmp_path / "mounts"
    table.write_text(f"/dev/vda {data} ext4 rw 0 0\noverlay {data}/overlay2/x/merged overlay rw 0 0\n")
    monkeypatch.setattr(engine, "_MOUNTS", table)
    monkeypatch.setattr(engine, "run", lambda command: asked.append((command, data.exists())))
    files.write_json(settings.home / "host" / "engine.json", {"made": [str(data)]})

    engine.remove_data(settings)

    assert asked == [(["umount", "--recursive", str(data)], True)]
    assert not data.exists()


def test_images_depend_on_their_files_and_on_what_is_under_them(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {})
    for image in images.catalogue(settings):
        if image.context:
            (tmp_path / "lab" / "images" / image.context).mkdir(parents=True, exist_ok=True)
    before = images.inputs(settings)
    (tmp_path / "lab" / "images" / "store" / "sshd.conf").write_text("x")
    changed = {tag for tag, digest in images.inputs(settings).items() if digest != before[tag]}
    pulled = images.inputs(Settings.from_environment(tmp_path, {"OVMS_LAB_BASE": "pull"}))
    assert changed == {"ovms-lab/store:bookworm", "ovms-lab/store:trixie"}
    assert not set(before.values()) & set(pulled.values())


def test_labs_of_two_names_share_no_image(tmp_path: Path) -> None:
    def tags(name: str) -> set[str]:
        settings = Settings.from_environment(tmp_path, {"OVMS_LAB_NAME": name})
        return {standin.image(settings), *(image.tag for image in images.catalogue(settings))}

    assert len(tags("ovms-lab")) == len(tags("other")) == 7
    assert not tags("ovms-lab") & tags("other")


def test_a_tree_digest_sees_names_contents_and_executable_bits(tmp_path: Path) -> None:
    path = tmp_path / "tree" / "file"
    path.parent.mkdir()
    path.write_text("a")
    seen = {images.tree_digest(tmp_path / "tree")}
    path.chmod(0o755)
    seen.add(images.tree_digest(tmp_path / "tree"))
    path.write_text("b")
    seen.add(images.tree_digest(tmp_path / "tree"))
    path.rename(path.with_name("other"))
    seen.add(images.tree_digest(tmp_path / "tree"))
    (tmp_path / "tree" / "__pycache__").mkdir()
    (tmp_path / "tree" / "__pycache__" / "x.pyc").write_text("x")
    seen.add(images.tree_digest(tmp_path / "tree"))
    assert len(seen) == 4


def test_what_the_lab_makes_goes_and_what_was_there_stays(settings: Settings) -> None:
    theirs, ours = settings.project / "theirs", settings.project / "new" / "deep" / "ours"
    theirs.write_text("before")
    for path in (theirs, ours):
        made.note(settings, path)
    ours.mkdir(parents=True)
    made.note(settings, ours)
    (ours / "file").write_text("x")
    made.remove(settings)
    assert theirs.exists()
    assert not (settings.project / "new").exists()


def test_a_directory_that_someone_else_uses_stays(settings: Settings) -> None:
    ours = settings.project / "new" / "ours"
    made.note(settings, ours)
    ours.mkdir(parents=True)
    (settings.project / "new" / "theirs").write_text("x")
    made.remove(settings)
    assert [path.name for path in (settings.project / "new").iterdir()] == ["theirs"]


def test_a_link_goes_and_what_it_points_at_stays(settings: Settings) -> None:
    target, link = settings.project / "target", settings.project / "link"
    target.mkdir()
    made.note(settings, link)
    link.symlink_to(target)
    made.remove(settings)
    assert target.is_dir()
    assert not link.is_symlink()
