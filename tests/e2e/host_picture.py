"""Runs on a store, as root: prints as JSON what there is on it, to be compared. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
from pathlib import Path

PLACES = ("/etc", "/usr/local", "/opt", "/root", "/srv", "/var/lib")
# What packages, not we, keep a trail in: apt's and dpkg's own books, caches, and backups of shadow's tools.
TRAILS = (
    *("/var/lib/apt/", "/var/lib/dpkg/", "/var/lib/ucf/", "/var/lib/systemd/", "/var/lib/private"),
    *("/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-"),
    # A volume of the lab, whose mode an engine sets.
    *("/etc/ld.so.cache", "/var/lib/logrotate", "/var/lib/docker/"),
)


def output(*argv: str) -> list[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return sorted(" ".join(line.split()) for line in done.stdout.splitlines() if line[:1] not in ("", "#"))


def entry(path: str) -> str:
    found = os.lstat(path)
    content = ""
    if stat.S_ISLNK(found.st_mode):
        content = str(Path(path).readlink())
    elif stat.S_ISREG(found.st_mode):
        content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid} {content}"


def files() -> dict[str, str]:
    found = {}
    for place in PLACES:
        for directory, names, others in os.walk(place):
            for path in (f"{directory}/{name}" for name in (*names, *others)):
                if not f"{path}/".startswith(TRAILS):
                    found[path] = entry(path)
    return found


def rules(program: str) -> list[str]:
    """Return the rules without counters, and without chains and tables that have none."""
    return [line for line in output(f"{program}-save") if line.startswith("-A")]


def listeners() -> list[str]:
    return sorted({" ".join(line.split()[:5]) for line in output("ss", "-Hltun")})


def picture() -> dict[str, object]:
    return {
        "files": files(),
        "packages": output("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n"),
        "unit_files": output("systemctl", "list-unit-files", "--no-legend", "--no-pager"),
        "running": output("systemctl", "list-units", "--state=running", "--plain", "--no-legend"),
        "users": output("getent", "passwd"),
        "groups": output("getent", "group"),
        "listeners": listeners(),
        "rules": {program: rules(program) for program in ("iptables", "ip6tables")},
        "links": output("sh", "-c", "ls /sys/class/net"),
    }


print(json.dumps(picture()))
