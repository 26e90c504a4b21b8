"""What of the virtual machine needs no QEMU: its first sectors, its record, its inventory, its end."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import pytest
import yaml

from lab.fleet import files, teardown
from lab.fleet.console import Console
from lab.fleet.settings import Settings
from lab.vm import disk, inventory, life, machine, place
from ovms_edge.errors import EdgeError, UsageError

GIB = 1024**3


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


@pytest.fixture
def console() -> Console:
    return Console(io.StringIO())


def test_first_sectors_are_boot_code_a_partition_table_and_grubs_core() -> None:
    sectors = disk.boot_sectors(b"B" * 512, b"core", 20 * GIB)
    assert sectors[:440] == b"B" * 440
    active, kind, first, count = struct.unpack("<B3xB3xII", sectors[446:462])
    assert (active, kind) == (0x80, 0x83)
    assert (first * 512, (first + count) * 512) == (1024**2, 20 * GIB)
    assert sectors[462:510] == bytes(48)
    assert sectors[510:] == b"\x55\xaacore"


def test_a_core_that_would_reach_into_the_file_system_is_refused() -> None:
    gap = 1024**2 - 512
    assert len(disk.boot_sectors(bytes(512), bytes(gap), GIB)) == 1024**2
    with pytest.raises(EdgeError, match="build fewer modules"):
        disk.boot_sectors(bytes(512), bytes(gap + 1), GIB)


def test_a_machine_on_record_has_two_ports_and_its_host_key_pinned(settings: Settings) -> None:
    assert place.known(settings) is None
    with pytest.raises(UsageError, match="lab/vm/vm start"):
        place.get(settings)
    made = place.define(settings, "ssh-ed25519 AAAA")
    assert place.get(settings) == made
    assert made.ssh_port != made.gateway_port
    assert place.known_hosts(settings).read_text() == f"[127.0.0.1]:{made.ssh_port} ssh-ed25519 AAAA\n"


def test_inventory_checks_the_host_key_and_lets_the_role_reboot(settings: Settings) -> None:
    files.write(settings.project / "constraints.txt", "")
    made = place.define(settings, "ssh-ed25519 AAAA")
    inventory.write(settings, made)
    hosts = yaml.safe_load((place.inventory(settings) / "hosts.yml").read_text())
    variables = hosts["stores"]["hosts"][place.NAME]
    assert (variables["ansible_host"], variables["ansible_port"]) == ("127.0.0.1", made.ssh_port)
    assert "StrictHostKeyChecking=yes" in variables["ansible_ssh_common_args"]
    assert '{{ inventory_dir }}/../known_hosts"' in variables["ansible_ssh_common_args"]
    assert variables["intel_gpu_reboot"] == "when_needed"
    group = (place.inventory(settings) / "group_vars" / "stores.yml").read_text()
    assert str(settings.project) not in group


@pytest.mark.parametrize(
    "text", ["", "no number", str(os.getpid())], ids=["empty", "no number", "this process"]
)
def test_a_process_that_is_not_our_qemu_is_not_ended(settings: Settings, console: Console, text: str) -> None:
    files.write(place.pid_file(settings), text)
    assert machine.running(settings) is None
    assert not life.stop(settings, console)  # would end this very process


def test_removing_the_machine_keeps_the_base_disk_and_nothing_of_it(
    settings: Settings, console: Console
) -> None:
    assert not life.remove(settings, console)
    for path in (place.base_image(settings), place.disk(settings), place.console_log(settings)):
        files.write(path, "x")
    files.write(place.inventory(settings) / "hosts.yml", "x")
    place.define(settings, "ssh-ed25519 AAAA")
    assert life.remove(settings, console)
    assert sorted(path.name for path in place.home(settings).iterdir()) == ["base.img", "lock"]


def test_down_takes_the_machine_along_where_no_engine_runs(
    settings: Settings, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.define(settings, "ssh-ed25519 AAAA")
    monkeypatch.setattr(teardown.engine, "answers", lambda: False)
    monkeypatch.setattr(teardown.shutil, "which", lambda program: None)
    teardown.down(settings, console)
    assert place.known(settings) is None


def test_the_accelerator_is_emulation_unless_it_is_asked_for() -> None:
    assert machine.accelerator({}) == "tcg"
    assert machine.accelerator({"OVMS_LAB_VM_ACCEL": "kvm"}) == "kvm"
    with pytest.raises(UsageError, match="OVMS_LAB_VM_ACCEL is 'xen'"):
        machine.accelerator({"OVMS_LAB_VM_ACCEL": "xen"})
