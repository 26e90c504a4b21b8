"""What Docker Engine leaves behind when its packages are purged: its data, and rules in the kernel."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from ovms_edge.node.removal import Removal, attempt

_PACKAGES = ("docker", "containerd", "runc")
_DATA = (Path("/var/lib/docker"), Path("/var/lib/containerd"), Path("/etc/docker/key.json"))
# Made empty by containerd, 1.6 for one.
_MADE = tuple(
    map(Path, ("/etc/cni/net.d", "/etc/cni", "/opt/containerd/bin", "/opt/containerd/lib", "/opt/containerd"))
)
_BRIDGE = "docker0"
# With an underscore they are of an engine outside, in which this host is a container itself.
_CHAIN = re.compile(r"DOCKER(-[A-Z0-9-]+)?$")


def is_engine(package: str) -> bool:
    """Whether a package is of Docker Engine."""
    return package.startswith(_PACKAGES)


def undoing(saved: str) -> list[list[str]]:
    """Return the arguments of iptables that take the engine's rules and chains out of ``iptables-save``."""
    rules: list[list[str]] = []
    chains: list[list[str]] = []
    table = ""
    for line in saved.splitlines():
        words = line.split()
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":") and _CHAIN.match(words[0][1:]):
            chains.append([table, words[0][1:]])
        elif line.startswith("-A") and not _CHAIN.match(words[1]) and _of_engine(words[2:]):
            rules.append(["-t", table, "-D", *words[1:]])
    flushed = [["-t", name, "-F", chain] for name, chain in chains]
    return [*rules, *flushed, *(["-t", name, "-X", chain] for name, chain in chains)]


def _of_engine(words: list[str]) -> bool:
    return _BRIDGE in words or any(map(_CHAIN.match, words))


def remove_engine_rest(removal: Removal) -> None:
    """Remove it; the engine is not installed any more."""
    for path in _DATA:
        if path.is_dir() and any(path.iterdir()) and removal.take("directory", path):
            for child in path.iterdir():
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        elif path.is_file() and removal.take("file", path):
            path.unlink()
        if path.is_dir() and not path.is_mount():
            path.rmdir()
    for path in _MADE:
        if path.is_dir() and not any(path.iterdir()) and removal.take("directory", path):
            path.rmdir()
    for program in ("iptables", "ip6tables"):
        if not shutil.which(program):
            continue
        saved = subprocess.run([f"{program}-save"], capture_output=True, text=True, check=False).stdout
        commands = undoing(saved)
        if commands and removal.take("rules", f"{program}: Docker Engine's"):
            for arguments in commands:
                attempt(program, "-w", *arguments)
    if Path("/sys/class/net", _BRIDGE).exists() and removal.take("interface", _BRIDGE):
        attempt("ip", "link", "delete", _BRIDGE)
