# SPDX-License-Identifier: Apache-2.0
"""Firewall and sshd of a host, tried before they are kept. Private to this collection.

The action ``baseline`` sends this file's text to ``python3 -`` on the host: standard library only (3.10+).

A trial writes nothing that outlives a boot: rules are loaded from /run, and sshd's settings are mounted over
their file. A timer takes both back, unless somebody who has connected anew confirms.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

TRIAL = Path("/run/ovms-edge-trial")
RULES = TRIAL / "firewall.nft"
SSHD = TRIAL / "sshd.conf"
REVERT = TRIAL / "revert"
REVERT_UNIT = "ovms-edge-revert"
UFW = Path("/etc/ufw/ufw.conf")
LISTENERS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENS = "0A"  # TCP_LISTEN, include/net/tcp_states.h
JOURNAL_SECONDS = 10


class TrialError(Exception):
    """A trial could not begin; what it had begun is undone. The text is ``reason; remedy``."""


def look() -> dict[str, Any]:
    """Return how this host is reached, other firewalls on it, and where it listens to others."""
    connection = ssh_connection()
    if connection is not None:
        connection["method"] = login_method(connection)
    return {
        "connection": connection,
        "authorized_key": connection is not None and authorized_key(connection["user"]),
        "firewalls": other_firewalls(),
        "listening": listening([path.read_text() for path in LISTENERS if path.exists()]),
    }


def ssh_connection() -> dict[str, Any] | None:
    """Return client, its port, our port and the user of the SSH connection that runs this; None without one.

    sudo gives its children none of that, so the processes above are asked.
    """
    pid = os.getpid()
    while pid > 1:
        values = environment(pid)
        words = values.get("SSH_CONNECTION", "").split()
        if len(words) == 4:
            user = values.get("SUDO_USER") or values.get("USER") or "root"
            return {
                "client": words[0],
                "client_port": int(words[1]),
                "server_port": int(words[3]),
                "user": user,
            }
        pid = parent(pid)
    return None


def environment(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def parent(pid: int) -> int:
    try:
        found = re.search(r"(?m)^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def login_method(connection: dict[str, Any]) -> str | None:
    """Return how the connection was let in, by sshd's own log; None if that does not say."""
    pattern = re.compile(
        rf"Accepted (\S+) for \S+ from {re.escape(connection['client'])} port {connection['client_port']}\b"
    )
    command = ["journalctl", "--quiet", "--output=cat", "--reverse", "--boot"]
    tags = ["SYSLOG_IDENTIFIER=sshd", "+", "SYSLOG_IDENTIFIER=sshd-session"]
    try:
        log = subprocess.run(
            [*command, *tags],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=JOURNAL_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = pattern.search(log)
    return found[1] if found else None


def sshd_settings(user: str | None = None) -> dict[str, str]:
    """Return sshd's settings, those for ``user`` if one is named."""
    command = ["sshd", "-T", *(["-C", f"user={user},host=localhost,addr=127.0.0.1"] if user else [])]
    said = subprocess.run(
        [f"/usr/sbin/{command[0]}", *command[1:]], capture_output=True, text=True, check=False
    )
    return dict(line.split(" ", 1) for line in said.stdout.splitlines() if " " in line)


def authorized_key(user: str) -> bool:
    """Whether sshd has a key to compare with for ``user``, or asks others for one."""
    settings = sshd_settings(user)
    if any(settings.get(name, "none") != "none" for name in ("authorizedkeyscommand", "trustedusercakeys")):
        return True
    home = pwd.getpwnam(user).pw_dir
    for word in settings.get("authorizedkeysfile", "").split():
        name = word.replace("%h", home).replace("%u", user).replace("%%", "%")
        path = Path(home, name)
        if path.is_file() and any(
            line.strip() and not line.startswith("#")
            for line in path.read_text(errors="replace").splitlines()
        ):
            return True
    return False


def other_firewalls() -> list[str]:
    found = []
    if UFW.exists() and re.search(r"(?mi)^ENABLED=yes", UFW.read_text()):
        found.append("ufw")
    if (
        shutil.which("firewalld")
        and _run("systemctl", "is-active", "--quiet", "firewalld.service").returncode == 0
    ):
        found.append("firewalld")
    return found


def listening(tables: list[str]) -> list[int]:
    """Return the TCP ports on which somebody listens beyond the loopback."""
    found = set()
    for line in (line for table in tables for line in table.splitlines()[1:]):
        fields = line.split()
        address, _, port = fields[1].partition(":")
        loopback = address.endswith("7F") if len(address) == 8 else address == "0" * 24 + "01000000"
        if fields[3] == LISTENS and not loopback:
            found.add(int(port, 16))
    return sorted(found)


def trial(rules: str | None, sshd: str | None, sshd_file: str, seconds: int) -> dict[str, Any]:
    """Put rules and settings of sshd into force, with a timer that takes them back after ``seconds``."""
    end_trial()
    TRIAL.mkdir(mode=0o700, exist_ok=True)
    try:
        if rules is not None:
            RULES.write_text(rules)
            _must("the rules are refused", "nft", "--check", "--file", str(RULES))
        _arm(rules is not None, sshd_file if sshd is not None else None, seconds)
        if sshd is not None:
            _try_sshd(sshd, Path(sshd_file))
        if rules is not None:
            _must("the rules are refused", "nft", "--file", str(RULES))
    except TrialError as error:
        end_trial()
        return {"ok": False, "msg": str(error)}
    return {"ok": True}


def confirm() -> dict[str, Any]:
    """End the trial with what it tried still in force, so that it can be written where it is to stay."""
    if _run("systemctl", "is-active", "--quiet", f"{REVERT_UNIT}.timer").returncode:
        return {"ok": False, "msg": "the host was back to what it had before this could confirm; run again"}
    _run("systemctl", "stop", f"{REVERT_UNIT}.timer")
    for line in REVERT.read_text().splitlines():
        if line.startswith("umount "):
            _run(*line.split())
    shutil.rmtree(TRIAL)
    return {"ok": True}


def end_trial() -> None:
    """Take back what a trial, of an earlier run perhaps, has in force."""
    _run("systemctl", "stop", f"{REVERT_UNIT}.timer")
    if REVERT.exists():
        _run("sh", str(REVERT))
    shutil.rmtree(TRIAL, ignore_errors=True)


def revert_script(rules: bool, sshd_file: str | None) -> str:
    """Return what takes a trial back, whatever of it there is."""
    lines = []
    if rules:
        kept = "/etc/ovms-edge/firewall.nft"
        lines.append(f"if [ -f {kept} ]; then nft -f {kept}; else nft delete table inet ovms_edge; fi")
    if sshd_file is not None:
        lines += [
            f"umount {sshd_file}",
            f"[ -s {sshd_file} ] || rm -f {sshd_file}",
            "systemctl try-reload-or-restart ssh.service",
        ]
    return "\n".join([*lines, f"rm -rf {TRIAL}"]) + "\n"


def _arm(rules: bool, sshd_file: str | None, seconds: int) -> None:
    REVERT.write_text(revert_script(rules, sshd_file))
    _must(
        "no timer could be started that takes the change back",
        *("systemd-run", "--quiet", "--collect", f"--unit={REVERT_UNIT}", f"--on-active={seconds}"),
        *("--timer-property=AccuracySec=1s", "/bin/sh", str(REVERT)),
    )


def _try_sshd(text: str, path: Path) -> None:
    SSHD.write_text(text)
    SSHD.chmod(0o644)
    if not path.parent.is_dir():
        raise TrialError(f"no {path.parent}, so sshd would not read {path.name}; include it in sshd_config")
    if not path.exists():
        path.write_text("")
    _must("sshd's settings cannot be tried", "mount", "--bind", str(SSHD), str(path))
    _must("sshd refuses its settings", "/usr/sbin/sshd", "-t")
    wanted = {line.split()[0].lower(): line.split()[1] for line in text.splitlines() if line[:1].isalpha()}
    found = sshd_settings()
    if found.get("passwordauthentication") != wanted["passwordauthentication"]:
        raise TrialError(
            f"sshd does not heed {path}; let sshd_config begin with `Include /etc/ssh/sshd_config.d/*.conf`"
        )
    _must("sshd could not be reloaded", "systemctl", "try-reload-or-restart", "ssh.service")


def _must(what: str, *command: str) -> None:
    done = _run(*command)
    if done.returncode:
        raise TrialError(
            f"{what}: {done.stderr.strip() or done.stdout.strip() or command[0]}; nothing was kept"
        )


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]}: {error.strerror}")
