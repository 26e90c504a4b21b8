"""The Docker Engine of this machine: used if it answers, started if it does not, stopped if we started it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from ovms_edge.errors import EdgeError

from . import files, firewall
from .console import Console
from .settings import Settings
from .shell import run, succeeds, tail, wait_until

_DATA = tuple(
    Path(path)
    for path in (
        "/var/lib/docker",
        "/var/lib/containerd",
        "/opt/containerd",
        "/etc/docker",
        "/etc/cni",
        "/run/docker",
        "/run/containerd",
    )
)
_MOUNTS = Path("/proc/self/mounts")
_GROUP = "docker"  # made by Debian's package, which leaves it behind
_START_SECONDS = 60.0
_STOP_SECONDS = 90.0


def answers() -> bool:
    return succeeds(["docker", "version", "--format", "{{.Server.Version}}"])


def remember_machine(settings: Settings) -> None:
    """Note once what was there before us: ``remove_data`` leaves that alone. Call before packages come."""
    path = _record(settings)
    if not path.exists():
        absent = [str(directory) for directory in _DATA if not directory.exists()]
        before = {"made": absent, "group": not _group_exists(), "firewall": firewall.state()}
        files.write_json(path, {**before, "started": False})


def note(settings: Settings, **facts: bool) -> None:
    """Put on record: ``started`` by us, ``used`` by us, ``empty`` when it was last looked into."""
    files.write_json(_record(settings), {**files.read_json(_record(settings)), **facts})


def used_by_lab(settings: Settings) -> bool:
    return bool(files.read_json(_record(settings)).get("used"))


def ensure(settings: Settings, console: Console) -> None:
    """An engine that answers."""
    if answers():
        return
    if os.environ.get("DOCKER_HOST"):
        raise EdgeError(
            f"no Docker engine answers at DOCKER_HOST {os.environ['DOCKER_HOST']}",
            "start it, or unset DOCKER_HOST",
        )
    note(settings, started=True)
    if _systemd():
        console.say("starting the Docker engine (systemctl start docker)")
        run(["systemctl", "start", "docker"], remedy="see: journalctl -u docker")
    else:
        console.say("starting the Docker engine (dockerd, in the background)")
        _start_dockerd(settings)


def _start_dockerd(settings: Settings) -> None:
    log, pid_file = settings.home / "host" / "dockerd.log", _pid_file(settings)
    pid_file.unlink(missing_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["dockerd", "--pidfile", str(pid_file)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,  # it outlives this command and its terminal
        )
    wait_until(
        lambda: process.poll() is not None or answers(),
        _START_SECONDS,
        lambda: EdgeError(f"dockerd does not answer after {_START_SECONDS:.0f} s", f"see {log}"),
    )
    if process.poll() is not None:
        raise EdgeError(f"dockerd ended with status {process.returncode}: {tail(log, 3)}", f"see {log}")


def stop(settings: Settings) -> None:
    """Stop the engine that came with the lab, and undo what it did to the network."""
    pid = _our_process(settings)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        log = settings.home / "host" / "dockerd.log"
        wait_until(
            lambda: _our_process(settings) is None,
            _STOP_SECONDS,
            lambda: EdgeError(f"dockerd (process {pid}) does not end", f"see {log}"),
        )
    elif _systemd() and answers():
        run(["systemctl", "stop", "docker.socket", "docker.service"], remedy="see: journalctl -u docker")
    if answers():
        raise EdgeError(
            "a Docker engine still answers that the lab did not start, so nothing of it is removed",
            "stop it (or unset DOCKER_HOST) and run it again",
        )
    firewall.restore(files.read_json(_record(settings)).get("firewall", {}))


def started_by_lab(settings: Settings) -> bool:
    return bool(files.read_json(_record(settings)).get("started"))


def made_by_lab(settings: Settings) -> list[Path]:
    """The engine's directories that were not there before the lab came."""
    return [Path(path) for path in files.read_json(_record(settings)).get("made", [])]


def require_known_empty(settings: Settings) -> None:
    """For an engine that cannot be asked any more; raises EdgeError if others may have data in it."""
    there = [str(path) for path in made_by_lab(settings) if path.exists()]
    if there and not files.read_json(_record(settings)).get("empty"):
        raise EdgeError(
            f"dockerd is not installed any more, so nobody can tell whose data is in {', '.join(there)}",
            "install docker.io, or remove these directories, and run it again",
        )


def remove_data(settings: Settings) -> None:
    """Remove the engine's directories that came with the lab. Call when the engine's package is gone."""
    for path in made_by_lab(settings):
        # dockerd mounts its data on itself and network namespaces on files; one that was killed leaves them
        for mount in mounts_in(path, _MOUNTS.read_text()):
            run(["umount", "--recursive", mount])
        if path.exists():
            shutil.rmtree(path)
    if files.read_json(_record(settings)).get("group") and _group_exists():
        run(["groupdel", _GROUP])


def mounts_in(directory: Path, table: str) -> list[str]:
    """Return what is mounted on ``directory`` or below it, but not what is below another one of these."""
    found: list[Path] = []
    for mount in sorted({Path(line.split()[1]) for line in table.splitlines()}):
        if mount.is_relative_to(directory) and not any(mount.is_relative_to(other) for other in found):
            found.append(mount)
    return [str(mount) for mount in found]


def _systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def _group_exists() -> bool:
    return succeeds(["getent", "group", _GROUP])


def _record(settings: Settings) -> Path:
    return settings.home / "host" / "engine.json"


def _pid_file(settings: Settings) -> Path:
    return settings.home / "host" / "dockerd.pid"


def _our_process(settings: Settings) -> int | None:
    """The process id of our dockerd; a recycled id does not count."""
    try:
        pid = int(_pid_file(settings).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ValueError):
        return None
    return pid if str(_pid_file(settings)).encode() in command else None
