"""Store hosts: systemd containers with sshd, a simulated iGPU and a memory of their own."""

from __future__ import annotations

import dataclasses
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError, UsageError

from . import containers, files, images, keys, meminfo
from .containers import docker
from .settings import Settings
from .shell import succeeds, tail, wait_until

# Debian release, render group id, memory in GiB: each store differs from its neighbours on purpose.
PATTERN = (("12", 992, 16), ("13", 105, 32), ("13", 993, 64))
# What a Debian store may say it is instead; packages and archive stay Debian's.
IDENTITIES = {"ubuntu-22.04": "jammy", "ubuntu-24.04": "noble"}
# As on Ubuntu, its docker.io has the client in it, which is a package of its own from Debian 13 on.
_DEBIAN_OF_AN_IDENTITY = "12"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?")
_BOOT_SECONDS = 60.0
_STOP_SECONDS = 30
_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"


@dataclass(frozen=True)
class Store:
    name: str
    debian: str
    render_gid: int
    memory_gib: int
    address: str
    inventory: str  # directory of the inventory that it stands in
    host_key: str = ""
    identity: str = ""  # of IDENTITIES; none for the Debian that it is

    @property
    def system(self) -> str:
        return f"Debian {self.debian}" + (f" as {self.identity}" if self.identity else "")


def numbered(count: int) -> list[str]:
    return [f"store-{number:03}" for number in range(1, count + 1)]


def pattern(name: str) -> tuple[str, int, int]:
    """Debian release, render gid and GiB that a store gets if nothing else is asked for."""
    number = re.fullmatch(r"store-(\d+)", name)
    return PATTERN[(int(number[1]) - 1) % len(PATTERN) if number else 0]


def directory(settings: Settings, name: str) -> Path:
    return settings.home / "stores" / name


def container(settings: Settings, name: str) -> str:
    return f"{settings.name}-{name}"


def known(settings: Settings) -> dict[str, Store]:
    """Every store on record, by name; one that another command removes meanwhile is not there."""
    paths = sorted((settings.home / "stores").glob("*/store.json"))
    records = ((path.parent.name, files.read_json(path)) for path in paths)
    return {name: Store(**record) for name, record in records if record}


def get(settings: Settings, name: str) -> Store:
    stores = known(settings)
    if name not in stores:
        there = f"there are: {', '.join(stores)}" if stores else "there are none"
        raise UsageError(f"no store {name!r}", f"{there}; lab/lab up or lab/lab add {name} makes one")
    return stores[name]


def define(
    settings: Settings,
    name: str,
    inventory: Path,
    debian: str | None = None,
    render_gid: int | None = None,
    memory_gib: int | None = None,
    identity: str = "",
) -> Store:
    """Put a store on record, with the first free address; one on record already stays as it is."""
    stores = known(settings)
    if name in stores:
        return stores[name]
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no host name", "use lower-case letters, digits and dashes")
    taken = {store.address for store in stores.values()}
    address = next((address for address in settings.store_addresses if address not in taken), None)
    if address is None:
        raise EdgeError(
            f"no free address in {settings.subnet}", "remove stores, or set a larger OVMS_LAB_SUBNET"
        )
    usual = pattern(name)
    nearest = _DEBIAN_OF_AN_IDENTITY if identity else usual[0]
    store = Store(
        name,
        debian or nearest,
        render_gid or usual[1],
        memory_gib or usual[2],
        address,
        str(inventory),
        identity=identity,
    )
    meminfo.write(directory(settings, name) / "meminfo", store.memory_gib)
    _save(settings, store)
    return store


def start(settings: Settings, store: Store, state: str | None) -> str:
    """Make or start the container and wait for its sshd. Returns what was done: made, started or ''."""
    done = ""
    if state is None:
        _create(settings, store)
        done = "made"
        if store.identity:
            _identify(settings, store)
    if state != "running":
        docker("start", container(settings, store.name))
        done = done or "started"
    wait_until(lambda: ssh_answers(store), _BOOT_SECONDS, lambda: _not_up(settings, store))
    if done or not store.host_key:
        # Read past the network: this is the trusted way to the key that is pinned.
        key = " ".join(docker("exec", container(settings, store.name), "cat", _KEY).split()[:2])
        _save(settings, dataclasses.replace(store, host_key=key))
    return done


def restart(settings: Settings, store: Store) -> None:
    """As a reboot: everything ends, /run and /dev are new, the disks stay."""
    docker("restart", "--time", str(_STOP_SECONDS), container(settings, store.name))
    wait_until(lambda: ssh_answers(store), _BOOT_SECONDS, lambda: _not_up(settings, store))


def remove(settings: Settings, name: str) -> None:
    if container(settings, name) in containers.states(settings):
        docker("rm", "--force", "--volumes", container(settings, name))
    path = directory(settings, name)
    if path.exists():
        (path / "store.json").unlink(missing_ok=True)
        shutil.rmtree(path)


def set_memory(settings: Settings, store: Store, memory_gib: int) -> None:
    """Change what the running store takes for its memory."""
    meminfo.write(directory(settings, store.name) / "meminfo", memory_gib)
    _save(settings, dataclasses.replace(store, memory_gib=memory_gib))


def pin_host_keys(settings: Settings) -> None:
    lines = [f"{store.address} {store.host_key}\n" for store in known(settings).values() if store.host_key]
    files.write(settings.home / "ssh" / "known_hosts", "".join(lines))


def ssh_command(settings: Settings, store: Store) -> list[str]:
    return [
        "ssh", "-i", str(keys.ssh_key(settings)), "-o", "IdentitiesOnly=yes",
        "-o", "StrictHostKeyChecking=yes",
        "-o", f"UserKnownHostsFile={settings.home / 'ssh' / 'known_hosts'}",
        "-o", "GlobalKnownHostsFile=/dev/null",
        f"ansible@{store.address}",
    ]  # fmt: skip


def ssh_answers(store: Store) -> bool:
    try:
        with socket.create_connection((store.address, 22), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _create(settings: Settings, store: Store) -> None:
    # Not --privileged: that asks for SYS_RESOURCE, which a virtual machine's own bounding set may lack.
    # The host's cgroup namespace: with a private one nested containers do not start on cgroup v1.
    docker(
        "create", "--name", container(settings, store.name), "--hostname", store.name,
        *containers.labels(settings), "--network", settings.name, "--ip", store.address,
        "--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt=seccomp=unconfined",
        "--security-opt=apparmor=unconfined", "--security-opt=systempaths=unconfined",
        "--cgroupns=host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
        "--tmpfs", "/run", "--tmpfs", "/run/lock", "--volume", "/var/lib/docker",
        "--device-cgroup-rule", "c 226:* rwm", "--env", f"OVMS_LAB_RENDER_GID={store.render_gid}",
        *_cgroup_v1_options(),
        "--volume", f"{directory(settings, store.name) / 'meminfo'}:/proc/meminfo:ro",
        "--volume", f"{keys.ssh_key(settings).with_suffix('.pub')}:/etc/ssh/authorized_keys/ansible:ro",
        images.store_image(settings, store.debian),
    )  # fmt: skip


def _identify(settings: Settings, store: Store) -> None:
    """Put another distribution's os-release(5) into the container before its first start."""
    codename = IDENTITIES[store.identity]
    version = store.identity.partition("-")[2]
    path = directory(settings, store.name) / "os-release"
    files.write(
        path,
        f'PRETTY_NAME="Ubuntu {version} LTS"\nNAME="Ubuntu"\nVERSION_ID="{version}"\n'
        f"VERSION_CODENAME={codename}\nID=ubuntu\nID_LIKE=debian\nUBUNTU_CODENAME={codename}\n",
    )
    docker("cp", path, f"{container(settings, store.name)}:/usr/lib/os-release")


def _cgroup_v1_options() -> list[str]:
    """systemd 257 refuses a host with cgroup v1 unless it is told that this is meant."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return []
    command_line = "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
    return ["--env", f"SYSTEMD_PROC_CMDLINE={command_line}"]


def _save(settings: Settings, store: Store) -> None:
    files.write_json(directory(settings, store.name) / "store.json", dataclasses.asdict(store))


def _not_up(settings: Settings, store: Store) -> EdgeError:
    log = settings.logs / f"{store.name}.log"
    name = container(settings, store.name)
    log.unlink(missing_ok=True)
    if succeeds(["docker", "exec", name, "true"]):
        docker("exec", name, "systemctl", "list-units", "--no-legend", "--state=failed,activating", log=log)
    else:
        docker("logs", "--tail", "20", name, log=log)
    return EdgeError(
        f"{store.name} does not answer on SSH after {_BOOT_SECONDS:.0f} s: {tail(log, 3)}",
        f"see {log}; lab/lab remove {store.name} and lab/lab up make it anew",
    )
