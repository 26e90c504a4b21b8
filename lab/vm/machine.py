"""The running machine: QEMU in the background, its console in a file, SSH on a port of the loopback."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from lab.fleet import keys
from lab.fleet.settings import Settings
from lab.fleet.shell import run, tail, wait_until
from ovms_edge.errors import EdgeError, UsageError

from . import place
from .place import Machine

MEMORY_MIB = 6144
# Software emulation takes ten to twenty times as long as the machine that it runs on.
BOOT_SECONDS = 900.0
_STOP_SECONDS = 30.0
_ACCELERATORS = ("tcg", "kvm")


def command(settings: Settings, machine: Machine, cpus: int) -> list[str]:
    """How QEMU is called. Processor: all that the accelerator can do, since OpenVINO wants AVX2."""
    forwarded = (
        f"hostfwd=tcp:127.0.0.1:{machine.ssh_port}-:22,hostfwd=tcp:127.0.0.1:{machine.gateway_port}-:8002"
    )
    return [
        "qemu-system-x86_64", "-name", place.NAME, "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", "q35,usb=off", "-accel", accelerator(), "-cpu", "max",
        "-smp", str(cpus), "-m", str(MEMORY_MIB),
        # The host's page cache outlives a killed QEMU, and nothing outlives the machine that carries it.
        "-drive", f"file={place.disk(settings)},format=raw,if=virtio,cache=unsafe,discard=unmap",
        "-netdev", f"user,id=net,{forwarded}", "-device", "virtio-net-pci,netdev=net,romfile=",
        "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
        "-chardev", f"file,id=console,path={place.console_log(settings)},append=on",
        "-serial", "chardev:console",
        "-pidfile", str(place.pid_file(settings)), "-daemonize",
    ]  # fmt: skip


def accelerator(environment: Mapping[str, str] = os.environ) -> str:
    """What QEMU runs the processor by. Not guessed: a /dev/kvm that opens may still not work."""
    chosen = environment.get("OVMS_LAB_VM_ACCEL", "tcg")
    if chosen not in _ACCELERATORS:
        raise UsageError(f"OVMS_LAB_VM_ACCEL is {chosen!r}", "set it to tcg or kvm, or unset it")
    return chosen


def start(settings: Settings, machine: Machine, cpus: int) -> None:
    """Start it unless it runs, and wait for its sshd; raises EdgeError with the end of its console."""
    if running(settings) is None:
        place.pid_file(settings).unlink(missing_ok=True)
        run(command(settings, machine, cpus))
    wait_until(lambda: ssh_answers(machine), BOOT_SECONDS, lambda: _not_up(settings))


def running(settings: Settings) -> int | None:
    """The process id of our QEMU: the one in the file, if it has our disk (ids are used again)."""
    try:
        pid = int(place.pid_file(settings).read_text())
        words = Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if str(place.disk(settings)) in words else None


def stop(settings: Settings) -> bool:
    """Switch it off, as by its plug. Returns whether it ran."""
    pid = running(settings)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    failure = EdgeError(f"QEMU (process {pid}) does not end", f"end it by `kill -9 {pid}` and run this again")
    wait_until(lambda: running(settings) is None, _STOP_SECONDS, lambda: failure)
    place.pid_file(settings).unlink(missing_ok=True)
    return True


def ssh_command(settings: Settings, machine: Machine) -> list[str]:
    return [
        "ssh", "-p", str(machine.ssh_port), "-i", str(keys.ssh_key(settings)), "-o", "IdentitiesOnly=yes",
        "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={place.known_hosts(settings)}",
        "-o", "GlobalKnownHostsFile=/dev/null", "-o", "ConnectTimeout=60",
        "ansible@127.0.0.1",
    ]  # fmt: skip


def ssh_answers(machine: Machine) -> bool:
    """Whether sshd greets: QEMU takes the connection even if nobody listens behind it."""
    try:
        with socket.create_connection(("127.0.0.1", machine.ssh_port), timeout=10) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _not_up(settings: Settings) -> EdgeError:
    state = "runs" if running(settings) else "has ended"
    return EdgeError(
        f"no answer on SSH after {BOOT_SECONDS:.0f} s; QEMU {state}: {console_tail(settings, 5)}",
        f"see {place.console_log(settings)}; lab/vm/vm remove and lab/vm/vm start make it anew",
    )


def console_tail(settings: Settings, lines: int) -> str:
    path = place.console_log(settings)
    return tail(path, lines) if path.exists() else "nothing on its console"
