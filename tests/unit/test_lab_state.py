"""Settings, files and records of the lab."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.fleet import files, meminfo, store
from lab.fleet.console import Console, duration, table
from lab.fleet.settings import Settings
from lab.fleet.shell import run
from ovms_edge.errors import EdgeError, UsageError

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


def test_addresses_follow_the_subnet(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {"OVMS_LAB_SUBNET": "10.9.8.0/24"})
    assert settings.depot_url == "https://10.9.8.2:5000"
    assert settings.server_image == "10.9.8.2:5000/openvino/model_server:2025.4.1-gpu"
    assert settings.store_addresses[0] == "10.9.8.11"
    assert settings.store_addresses[-1] == "10.9.8.254"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("OVMS_LAB_BASE", "hub", "OVMS_LAB_BASE is 'hub'"),
        ("OVMS_LAB_SUBNET", "10.9.8.0", "too small"),
        ("OVMS_LAB_NAME", "My_Lab", "OVMS_LAB_NAME is 'My_Lab'"),
        ("OVMS_LAB_SUBNET", "ten", "OVMS_LAB_SUBNET is 'ten'"),
        ("OVMS_LAB_SUBNET", "10.9.8.1/24", "host bits"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, value: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Settings.from_environment(tmp_path, {variable: value})


def test_write_replaces_in_one_step_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    assert files.write(path, "one", 0o600)
    assert not files.write(path, "one", 0o600)
    before = path.stat().st_ino
    assert files.write(path, "two", 0o600)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o600)
    assert path.stat().st_ino != before
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_write_mends_a_wrong_mode(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("x")
    path.chmod(0o644)
    assert files.write(path, "x", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600


SECOND = """
import sys
from pathlib import Path
from lab.fleet import files
from lab.fleet.console import Console
with files.locked(Path(sys.argv[1]), Console()):
    print("in", flush=True)
"""


CLOSED = """
import subprocess, sys
from lab.fleet.shell import ensure_stdin
assert sys.stdin is None
ensure_stdin()
print(sys.stdin.isatty(), subprocess.run(["cat"], check=False).returncode)
"""


def test_a_closed_standard_input_is_an_empty_one() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, CLOSED],
        env={**os.environ, "PYTHONPATH": f"{PROJECT / 'src'}:{PROJECT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("False 0\n", "")


def test_a_command_without_input_does_not_eat_the_callers() -> None:
    reader, writer = os.pipe()
    saved = os.dup(0)
    os.write(writer, b"theirs")
    os.close(writer)
    os.dup2(reader, 0)
    try:
        assert run(["cat"]) == ""
        assert run(["cat"], stdin="given") == "given"
        assert os.read(reader, 6) == b"theirs"
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(reader)


def test_the_lock_lets_one_in_and_names_the_holder(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT / 'src'}:{PROJECT}"}
    with files.locked(tmp_path, Console()):
        second = subprocess.Popen(
            [sys.executable, "-c", SECOND, tmp_path], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert second.stdout is not None
        assert f"waiting for process {os.getpid()}" in second.stdout.readline()
        assert second.poll() is None
    rest, _ = second.communicate(timeout=10)
    assert (rest, second.returncode) == ("in\n", 0)


@pytest.mark.parametrize("gib", [1, 8, 16, 64])
def test_meminfo_is_written_into_the_mounted_inode(tmp_path: Path, gib: int) -> None:
    path = tmp_path / "meminfo"
    meminfo.write(path, 128)
    inode = path.stat().st_ino
    meminfo.write(path, gib)
    values = {line.split(":")[0]: int(line.split()[1]) for line in path.read_text().splitlines()}
    assert path.stat().st_ino == inode
    assert values["MemTotal"] == gib * 1024 * 1024
    assert 0 < values["MemAvailable"] < values["MemTotal"]


def test_each_of_three_stores_differs(settings: Settings) -> None:
    stores = [store.define(settings, name, settings.inventory) for name in store.numbered(3)]
    assert [(s.debian, s.memory_gib) for s in stores] == [("12", 16), ("13", 32), ("13", 64)]
    assert len({s.render_gid for s in stores}) == 3
    assert [s.address for s in stores] == ["10.213.77.11", "10.213.77.12", "10.213.77.13"]


def test_the_pattern_repeats() -> None:
    assert store.pattern("store-004") == store.pattern("store-001")
    assert store.pattern("store-012") == store.pattern("store-003")


def test_a_store_keeps_what_it_was_made_with(settings: Settings) -> None:
    first = store.define(settings, "shop", settings.inventory, "13", 321, 24)
    assert store.define(settings, "shop", settings.inventory, "12", 1, 1) == first
    assert store.known(settings) == {"shop": first}
    assert "25165824 kB" in (store.directory(settings, "shop") / "meminfo").read_text()


def test_addresses_are_given_out_once_and_again_when_free(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {"OVMS_LAB_SUBNET": "10.0.0.0/26"})
    count = len(settings.store_addresses)
    for name in store.numbered(count):
        store.define(settings, name, settings.inventory)
    with pytest.raises(EdgeError, match="no free address"):
        store.define(settings, "one-more", settings.inventory)
    (store.directory(settings, "store-002") / "store.json").unlink()
    assert store.define(settings, "one-more", settings.inventory).address == settings.store_addresses[1]


@pytest.mark.parametrize("name", ["Store", "a/b", "-x", "", "x y", "a" * 60, "../etc"])
def test_a_name_that_is_no_host_name_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(UsageError, match="no host name"):
        store.define(settings, name, settings.inventory)


def test_a_store_that_is_removed_meanwhile_is_not_known(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "gone"):
        store.define(settings, name, settings.inventory)
    gone = store.directory(settings, "gone") / "store.json"
    read = files.read_json

    def removed_before(path: Path) -> dict[str, Any]:
        gone.unlink(missing_ok=True)
        return read(path)

    monkeypatch.setattr(files, "read_json", removed_before)
    assert list(store.known(settings)) == ["here"]


def test_an_unknown_store_is_answered_with_those_there_are(settings: Settings) -> None:
    store.define(settings, "store-001", settings.inventory)
    with pytest.raises(UsageError, match="there are: store-001"):
        store.get(settings, "store-9")


def test_known_hosts_holds_what_was_pinned(settings: Settings) -> None:
    one = store.define(settings, "store-001", settings.inventory)
    record = {**one.__dict__, "host_key": "ssh-ed25519 AAAA"}
    files.write_json(store.directory(settings, "store-001") / "store.json", record)
    store.define(settings, "store-002", settings.inventory)  # not booted yet: no key, no line
    store.pin_host_keys(settings)
    assert (settings.home / "ssh" / "known_hosts").read_text() == "10.213.77.11 ssh-ed25519 AAAA\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (65, "1 min 05 s"), (600, "10 min 00 s")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_tables_are_aligned() -> None:
    assert table(("A", "LONG"), [("xyz", "1")]) == "A    LONG\nxyz  1"
