"""A bare store with Docker and the image, and a copy of the project: one host, no Ansible."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.service_folder import ROOT, Result

LAB = ROOT / ".lab"
STORE = "labtest-service"
IMAGE = "openvino/model_server:2025.4.1-gpu"
PROJECT = "/srv/project"
DEPOT = "depot.lab:5000"

# What README.md asks of the host, its image from the depot instead of a hub, and the command `ovms-edge`.
PREPARE = f"""
apt-get install -q -y --no-install-recommends docker.io docker-cli docker-compose curl jq
mkdir -p /etc/docker/certs.d/{DEPOT}
cp {PROJECT}/depot-ca.pem /etc/docker/certs.d/{DEPOT}/ca.crt
docker login --username ovms-edge --password-stdin {DEPOT} < {PROJECT}/depot-password
docker pull -q {DEPOT}/{IMAGE}
docker tag {DEPOT}/{IMAGE} {IMAGE}
printf '#!/bin/sh\\nPYTHONPATH={PROJECT}/src exec python3 -m ovms_edge.cli "$@"\\n' > /usr/local/bin/ovms-edge
chmod 755 /usr/local/bin/ovms-edge
"""


@dataclass(frozen=True)
class Store:
    """Commands run in the folder ``ovms-service``, as root."""

    name: str

    def run(self, command: str) -> Result:
        words = [*_lab("exec"), self.name, "bash", "-c", f"exec 2>&1; cd {PROJECT}/ovms-service; {command}"]
        done = subprocess.run(words, input=b"", capture_output=True, timeout=300, check=False)
        return Result((done.stdout + done.stderr).decode(errors="replace"), done.returncode)

    def must(self, command: str) -> str:
        """Run it with errexit; returns what it printed."""
        result = self.run(f"set -euo pipefail; {command}")
        assert result.status == 0, f"{command}\n{result.output}"
        return result.output


@contextmanager
def bare_store(project: Path) -> Iterator[Store]:
    """Make the store, copy ``project`` there and install what README.md asks for; removed in the end."""
    subprocess.run([*_lab("remove"), STORE], capture_output=True, check=False)  # of a run that was cut off
    host = ["--debian", "13", "--memory-gib", "32", "--render-gid", "654"]
    _done([*_lab("add"), STORE, *host, "--inventory", project / "inventory"])
    try:
        yield _prepared(Store(STORE), project)
    finally:
        _done([*_lab("remove"), STORE])


def _prepared(store: Store, project: Path) -> Store:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in (project / "ovms-service", project / "src"):
            tar.add(path, path.name, filter=lambda member: None if ".venv" in member.name else member)
        tar.add(LAB / "depot" / "ca.pem", "depot-ca.pem")
        tar.add(LAB / "depot" / "password", "depot-password")
    unpack = f"mkdir -p {PROJECT} && tar -x -C {PROJECT}"
    _done([*_lab("exec"), store.name, "sh", "-c", unpack], archive.getvalue())
    store.must(PREPARE)
    return store


def _done(words: list[str | os.PathLike[str]], stdin: bytes = b"") -> None:
    done = subprocess.run(words, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


def _lab(command: str) -> list[str | os.PathLike[str]]:
    return [sys.executable, ROOT / "lab" / "lab", command]
