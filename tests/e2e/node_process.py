"""``ovms-node`` as processes with a state of their own, and a release for them in a real registry."""

from __future__ import annotations

import filecmp
import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.cli import main as controller
from tests.e2e.registry import Registry
from tests.unit.release_model import write_model

SOURCE = Path(__file__).resolve().parents[2] / "src"
REF = "vlm-int8@1.0.0"
CHUNK_BYTES = 256 << 10  # the largest of a file that is cut by content
CONNECTIONS = 4
DEADLINE_SECONDS = 120.0


@dataclass(frozen=True)
class Published:
    """A release as it was built, and whose signature counts."""

    registry: Registry
    built: Path
    signers: Path


def publish(directory: Path, registry: Registry, extra_bytes: int) -> Published:
    """Build, sign and publish a release with ``extra_bytes`` that are cut into chunks."""
    model = write_model(directory / "model")
    (model / "extra.bin").write_bytes(random.Random(5).randbytes(extra_bytes))  # noqa: S311
    key = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    built = directory / "out" / "vlm-int8" / "1.0.0"
    at = ["--depot", registry.url, "--ca", registry.ca, "--credentials", registry.credentials]
    for command in (
        ["build", "--model", model, "--release", REF, "--output", directory / "out"],
        ["sign", built, "--key", key],
        ["publish", built, *at],
    ):
        assert controller(["release", *map(str, command)]) == 0
    signers = directory / "allowed_signers"
    signers.write_text(f'release namespaces="ovms-edge-release" {key.with_suffix(".pub").read_text()}')
    return Published(registry, built, signers)


class Node:
    """A state directory, and a ``node.json`` with ``depot`` and ``transfer`` as they are in it."""

    def __init__(self, directory: Path, release: Published, depot: dict[str, Any], **transfer: Any) -> None:
        self.state, self.config = directory / "state", directory / "node.json"
        self._built = release.built
        settings = {
            "schema": 1,
            "state_dir": str(self.state),
            "depot": depot,
            "allowed_signers_file": str(release.signers),
            "transfer": {"connections": CONNECTIONS, **transfer},
        }
        self.config.write_text(json.dumps(settings))

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        program = "import sys; from ovms_edge.node.cli import main; sys.exit(main())"
        return subprocess.Popen(
            [sys.executable, "-c", program, *words, "--json", f"--node-config={self.config}"],
            env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **environment: str) -> dict[str, Any]:
        return answer(self.start(*words, **environment))

    def stage(self, **environment: str) -> dict[str, Any]:
        return self.run("stage", REF, **environment)

    @property
    def staged(self) -> Path:
        return self.state / "releases" / "vlm-int8" / "1.0.0"

    def forget(self) -> None:
        """Remove what was staged."""
        subprocess.run(["chmod", "-R", "u+w", self.state], check=True)
        shutil.rmtree(self.state / "releases")

    def assert_exact(self) -> None:
        """Every byte is the published one; .packed and .residuals stay in the depot."""
        built = self._built
        names = {path.relative_to(built) for path in built.rglob("*") if path.is_file()}
        wanted = sorted(str(name) for name in names if name.parts[0] not in (".packed", ".residuals"))
        found = sorted(str(p.relative_to(self.staged)) for p in self.staged.rglob("*") if p.is_file())
        assert found == wanted
        _, mismatch, errors = filecmp.cmpfiles(built, self.staged, wanted, shallow=False)
        assert (mismatch, errors) == ([], [])


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the document that it ends with."""
    with process:
        output, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert "Traceback" not in errors, errors
    document: dict[str, Any] = json.loads(output)
    assert document["ok"] == (process.returncode == 0), errors
    return document
