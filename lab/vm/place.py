"""Where the machine's parts lie, and what is known of it."""

from __future__ import annotations

import dataclasses
import socket
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from lab.fleet import files
from lab.fleet.console import Console
from lab.fleet.settings import Settings
from ovms_edge.errors import UsageError

NAME = "vm-store"


@dataclass(frozen=True)
class Machine:
    """Its ports on this machine's loopback, and the host key that was made with its disk."""

    ssh_port: int
    gateway_port: int
    host_key: str


def home(settings: Settings) -> Path:
    return settings.home / "vm"


def base_image(settings: Settings) -> Path:
    """The disk that every new machine begins with; never booted itself."""
    return home(settings) / "base.img"


def disk(settings: Settings) -> Path:
    return home(settings) / "disk.img"


def console_log(settings: Settings) -> Path:
    """What the serial console printed, over all boots of this disk."""
    return home(settings) / "console.log"


def inventory(settings: Settings) -> Path:
    return home(settings) / "inventory"


def known_hosts(settings: Settings) -> Path:
    return home(settings) / "known_hosts"


def pid_file(settings: Settings) -> Path:
    return home(settings) / "qemu.pid"


def of_machine(settings: Settings) -> list[Path]:
    """All that goes with one machine, its record first: what is on record has its disk."""
    files_of_it = (_record, known_hosts, inventory, console_log, pid_file, disk)
    return [path for path in (where(settings) for where in files_of_it) if path.exists()]


def locked(settings: Settings, console: Console) -> AbstractContextManager[None]:
    """One command at a time changes the machine; stores come and go meanwhile.

    Whoever holds the lab's own lock may ask for this one, and never the other way round.
    """
    home(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    return files.locked(home(settings), console)


def known(settings: Settings) -> Machine | None:
    record = files.read_json(_record(settings))
    return Machine(**record) if record else None


def get(settings: Settings) -> Machine:
    machine = known(settings)
    if machine is None:
        raise UsageError("there is no machine", "lab/vm/vm start makes one")
    return machine


def define(settings: Settings, host_key: str) -> Machine:
    """Put a machine on record, with two ports that are free now; its host key is pinned with it."""
    with socket.socket() as ssh, socket.socket() as gateway:
        for one in (ssh, gateway):
            one.bind(("127.0.0.1", 0))
        machine = Machine(ssh.getsockname()[1], gateway.getsockname()[1], host_key)
    files.write(known_hosts(settings), f"[127.0.0.1]:{machine.ssh_port} {host_key}\n")
    files.write_json(_record(settings), dataclasses.asdict(machine))
    return machine


def _record(settings: Settings) -> Path:
    return home(settings) / "machine.json"
