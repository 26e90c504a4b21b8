"""The disk of a bare store: Debian 13 with sshd, as one that was upgraded and kept its old kernel.

That kernel is Debian 12's for virtual machines: too old for a Meteor Lake, and without graphics drivers.
So the host cannot serve before a role has installed another and booted it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from pathlib import Path

from lab.fleet import files, images, keys
from lab.fleet.console import Console, duration
from lab.fleet.settings import Settings
from lab.fleet.shell import tail
from ovms_edge.errors import EdgeError

from . import disk, place

SUITE = "trixie"
_KERNEL_SUITE = "bookworm"
DISK_BYTES = 20 * 1024**3
_PACKAGES = (
    *(
        "systemd-sysv",
        "udev",
        "dbus",
        "kmod",
        "initramfs-tools",
        "zstd",
        "e2fsprogs",
        "openssh-server",
        "sudo",
    ),
    *("python3", "python3-apt", "iproute2", "iptables", "procps"),
    *("grub2-common", "grub-pc-bin", f"linux-image-cloud-amd64/{_KERNEL_SUITE}"),
)
_HOST_KEY = "etc/ssh/ssh_host_ed25519_key.pub"


def ensure(settings: Settings, console: Console) -> str:
    """Make the base disk unless it is current; returns the public host key that is on it."""
    wanted, record = _inputs(settings), files.read_json(_record(settings))
    if record.get("inputs") == wanted and place.base_image(settings).exists():
        return str(record["host_key"])
    start = time.monotonic()
    _record(settings).unlink(missing_ok=True)
    root = place.home(settings) / "root"
    _remove(root)
    root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        _bootstrap(settings, root)
        host_key = " ".join((root / _HOST_KEY).read_text().split()[:2])
        disk.make(root, place.base_image(settings), DISK_BYTES)
    finally:
        _remove(root)
    files.write_json(_record(settings), {"inputs": wanted, "host_key": host_key})
    console.say(f"disk of a bare Debian {SUITE} made in {duration(time.monotonic() - start)}")
    return host_key


def _bootstrap(settings: Settings, root: Path) -> None:
    log = settings.logs / "vm-base.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    customize = f'"{_guest(settings) / "customize"}" "$1" "{_store_files(settings)}" "{_key(settings)}"'
    words = [
        "mmdebstrap", *images.BOOTSTRAP, f"--include={','.join(_PACKAGES)}",
        f"--customize-hook={customize} {_KERNEL_SUITE}",
        SUITE, str(root), *(source for suite in (SUITE, _KERNEL_SUITE) for source in _sources(suite)),
    ]  # fmt: skip
    with log.open("w") as output:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode:
        raise EdgeError(f"mmdebstrap of Debian {SUITE} failed: {tail(log, 3)}", f"see {log}")


def _sources(suite: str) -> list[str]:
    found = images.apt_sources(suite)
    if not found:
        raise EdgeError(
            "this host's apt sources name no Debian mirror", "make the virtual store on a Debian host"
        )
    return found


def _inputs(settings: Settings) -> str:
    """Digest of what the disk is made of."""
    parts = [
        *(SUITE, str(DISK_BYTES), *_PACKAGES, *images.BOOTSTRAP),
        images.tree_digest(_guest(settings), _store_files(settings), Path(disk.__file__)),
        _key(settings).read_text(),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _guest(settings: Settings) -> Path:
    return settings.project / "lab" / "vm" / "guest"


def _store_files(settings: Settings) -> Path:
    """What it has in common with the stores that are containers."""
    return settings.project / "lab" / "images" / "store"


def _key(settings: Settings) -> Path:
    return keys.ssh_key(settings).with_suffix(".pub")


def _record(settings: Settings) -> Path:
    return place.home(settings) / "base.json"


def _remove(root: Path) -> None:
    if root.exists():
        shutil.rmtree(root)
