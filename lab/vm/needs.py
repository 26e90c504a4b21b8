"""Programs that the machine is made and run with, beyond what the lab calls anyway."""

from __future__ import annotations

from lab.fleet import host_packages
from lab.fleet.console import Console
from lab.fleet.host_packages import Need
from lab.fleet.settings import Settings

NEEDS = (
    Need("qemu-system-x86_64", ("qemu-system-x86",)),
    Need("mmdebstrap", ("mmdebstrap",)),
    Need("mke2fs", ("e2fsprogs",)),
    Need("ssh-keygen", ("openssh-client",)),
)


def ensure(settings: Settings, console: Console) -> None:
    """Install what is missing; on the lab's record, so that `make down` takes it away again."""
    packages = host_packages.missing_for(NEEDS)
    if packages:
        host_packages.install(settings, packages, console)
