"""The ways to bring a successor to a host that has the base: ours, and those it is compared with."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.transfer.meter import PeakMemory, Relay, cpu_seconds, new_bytes, relay, wait_for_port
from tests.e2e import registry as depot

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Cost:
    """Bytes, seconds, bytes."""

    tool: str
    case: str
    down: int
    up: int
    wall: float
    client_cpu: float
    server_cpu: float
    memory: int
    disk: int


def measure(
    tool: str,
    case: str,
    command: list[str],
    link: Relay,
    server_pid: int,
    target: Path,
) -> Cost:
    """Run ``command`` and return what it cost; raises CalledProcessError."""
    before, server_before = resource.getrusage(resource.RUSAGE_CHILDREN), cpu_seconds(server_pid)
    down, up, began = link.down, link.up, time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    memory = PeakMemory(process.pid)
    _, errors = process.communicate()
    wall = time.monotonic() - began
    peak = memory.stop()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=errors)
    time.sleep(0.3)  # the server's side ends after the client
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    client = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    server = cpu_seconds(server_pid) - server_before
    disk = new_bytes(target)
    return Cost(tool, case, link.down - down, link.up - up, wall, client, server, peak, disk)


class OurDepot:
    """``ovms-node stage`` from a CNCF registry over TLS with a login."""

    tool = "ovms-node"

    def __init__(self, work: Path, registry: depot.Registry, link: Relay, signers: Path) -> None:
        self._work, self._registry, self._link = work, registry, link
        self._state = work / "node"
        credentials = depot.write_credentials(work / "credentials.json", f"127.0.0.1:{link.port}")
        config = {
            "schema": 1,
            "state_dir": str(self._state),
            "depot": {
                "url": f"https://127.0.0.1:{link.port}",
                "ca_file": str(registry.ca),
                "credentials_file": str(credentials),
            },
            "allowed_signers_file": str(signers),
            "releases_kept": 20,
        }
        self._config = work / "node.json"
        self._config.write_text(json.dumps(config))
        inspected = ["docker", "inspect", "--format", "{{.State.Pid}}", registry.container]
        self._server = int(subprocess.run(inspected, capture_output=True, text=True, check=True).stdout)

    def stage(self, ref: str, case: str, prefix: tuple[str, ...] = ()) -> Cost:
        """Stage ``ref``; ``prefix`` goes before the command."""
        tool = ROOT / "roles/node_agent/files/ovms-node"
        command = [*prefix, "/usr/bin/python3", str(tool), "stage", ref, f"--node-config={self._config}"]
        name, _, version = ref.partition("@")
        target = self._state / "releases" / name / version
        return measure(self.tool, case, command, self._link, self._server, target)

    def forget(self, ref: str) -> None:
        """Remove a staged release."""
        name, _, version = ref.partition("@")
        target = self._state / "releases" / name / version
        subprocess.run(["chmod", "-R", "u+w", target], check=True)
        shutil.rmtree(target)


@contextmanager
def rsync_over_ssh(work: Path) -> Iterator[Callable[[Path, Path, str], Cost]]:
    """Yield a function (model, base on the host, case) -> Cost: ``rsync -a --link-dest`` over sshd."""
    keys = work / "ssh"
    keys.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    (keys / "authorized").write_bytes((keys / "user.pub").read_bytes())
    Path("/run/sshd").mkdir(exist_ok=True)
    port = depot.free_port()
    options = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": keys / "host", "UsePAM": "no",
        "AuthorizedKeysFile": keys / "authorized", "StrictModes": "no", "PidFile": "none",
    }  # fmt: skip
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", "/dev/null", *words], stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        with relay(port) as link:
            shell = (
                f"ssh -p {link.port} -i {keys / 'user'} -o StrictHostKeyChecking=no "
                "-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
            )

            def run(model: Path, base: Path, case: str) -> Cost:
                target = work / "rsync" / case
                target.parent.mkdir(exist_ok=True)
                command = ["rsync", "-a", "--ignore-times", f"--link-dest={base}", "-e", shell]
                command += [f"root@127.0.0.1:{model}/", f"{target}/"]
                return measure("rsync over ssh", case, command, link, server.pid, target)

            yield run
    finally:
        server.terminate()
        server.wait()


@contextmanager
def casync(work: Path) -> Iterator[Callable[[Path, Path, str], Cost]]:
    """Yield a function (model, base on the host, case) -> Cost: ``casync extract --seed`` over HTTP."""
    root = work / "casync"
    root.mkdir()
    port = depot.free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(root)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for_port(port)
        with relay(port) as link:

            def run(model: Path, base: Path, case: str) -> Cost:
                index = root / f"{case}.caidx"
                make = [
                    "casync",
                    "make",
                    f"--store={root / 'store'}",
                    "--without=all",
                    str(index),
                    str(model),
                ]
                subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
                target = work / "extracted" / case
                target.mkdir(parents=True)
                url = f"http://127.0.0.1:{link.port}"
                command = ["casync", "extract", f"--store={url}/store", f"--seed={base}", "--without=all"]
                command += [f"{url}/{case}.caidx", str(target)]
                return measure("casync", case, command, link, server.pid, target)

            yield run
    finally:
        server.terminate()
        server.wait()


def registry_pull(registry: depot.Registry, link: Relay, work: Path, blobs: list[str], case: str) -> Cost:
    """Fetch whole the blobs that changed, as pulls by layer do (curl over one connection)."""
    target = work / "pulled" / case
    target.mkdir(parents=True)
    inspected = ["docker", "inspect", "--format", "{{.State.Pid}}", registry.container]
    pid = int(subprocess.run(inspected, capture_output=True, text=True, check=True).stdout)
    lines = [f'cacert = "{registry.ca}"', f'user = "{depot.USER}:{depot.PASSWORD}"', "silent", "fail"]
    for sha256 in blobs:
        url = f"https://127.0.0.1:{link.port}/v2/models/bench/blobs/sha256:{sha256}"
        lines += [f'url = "{url}"', f'output = "{target / sha256}"']
    config = work / f"{case}.curl"
    config.write_text("\n".join(lines))
    return measure("registry pull", case, ["curl", "-K", str(config)], link, pid, target)
