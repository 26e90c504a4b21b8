"""A store of the lab for tests that hurt it, and releases that are wrong in one way each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.manifest import ReleaseRef
from ovms_edge.oci import RELEASE_SIGNATURE
from ovms_edge.release.build import build_release
from ovms_edge.release.depot import Depot, open_depot
from ovms_edge.release.publish import publish_release
from ovms_edge.release.sign import sign_release

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / ".lab"
DEPOT_CONTAINER = f"{os.environ.get('OVMS_LAB_NAME', 'ovms-lab')}-depot"
RELEASE_NAME = "fault-tests"
OVMS_VERSION = "2025.4.1"
RECOVERY_SECONDS = 120.0
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Run:
    """A playbook that has ended."""

    status: int
    output: str


@dataclass(frozen=True)
class Serving:
    """What is the same after a refusal: the container, since when it runs, what is active and staged."""

    container: str
    started: str
    active: Any
    releases: Any


@dataclass(frozen=True)
class FaultStore:
    name: str
    inventory: Path

    def playbook(self, path: str, *options: str, **variables: Any) -> Run:
        """Run a playbook on this store alone, ``variables`` as -e; never raises for a failed run."""
        argv = [Path(sys.executable).with_name("ansible-playbook"), "-i", self.inventory, path]
        done = subprocess.run(
            [*argv, *options, "-e", json.dumps(variables)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "1000"},
            check=False,
        )
        return Run(done.returncode, done.stdout)

    def run(self, *command: str) -> str:
        """Run a command on the store as root, past SSH; raises CalledProcessError if it fails."""
        return lab("exec", self.name, *command)

    def power_off(self) -> None:
        """End all that runs on the store at once, without a word; ``lab restart`` starts it."""
        container = f"{os.environ.get('OVMS_LAB_NAME', 'ovms-lab')}-{self.name}"
        subprocess.run(["docker", "kill", container], check=True, capture_output=True)

    def shell(self, script: str) -> str:
        return self.run("sh", "-c", script)

    def ask(self, *command: str) -> dict[str, Any]:
        """Return the document of ``ovms-node``, which may well be a refusal."""
        text = self.shell(f"/usr/local/bin/ovms-node {' '.join(command)} --json || true")
        document: dict[str, Any] = json.loads(text)
        return document

    def server(self) -> str:
        """Return the name of the container that serves."""
        state = json.loads(self.run("cat", "/var/lib/ovms-edge/state.json"))
        return f"ovms-vlm-{state['active']['slot']}"

    def serving(self) -> Serving:
        facts = self.ask("facts")
        state = json.loads(self.run("docker", "inspect", "--format", "{{json .}}", self.server()))
        return Serving(state["Id"], state["State"]["StartedAt"], facts["active"], facts["releases"])

    def wait_until_serving(self, struck: Callable[[], bool]) -> dict[str, Any]:
        """Poll the gate until it passes after the fault has ``struck``; the last refusal is in the error."""
        deadline, last = time.monotonic() + RECOVERY_SECONDS, "never asked"
        while time.monotonic() < deadline:
            try:
                document = self.ask("verify") if struck() else {"ok": False, "reason": "not struck yet"}
            except (subprocess.CalledProcessError, ValueError) as error:
                last = f"no answer: {error}"
            else:
                if document["ok"]:
                    return document
                last = document["reason"]
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"{self.name} does not serve after {RECOVERY_SECONDS:.0f} s: {last}")


def lab(*arguments: str) -> str:
    done = subprocess.run(
        [ROOT / "lab/lab", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, arguments, done.stdout, done.stderr)
    return done.stdout


def depot_url() -> str:
    registries = json.loads((LAB / "depot/credentials.json").read_text())["auths"]
    return f"https://{next(iter(registries))}"


def depot() -> Depot:
    return open_depot(depot_url(), LAB / "depot/ca.pem", LAB / "depot/credentials.json")


def lab_model() -> Path:
    """Return the lab's exported model: the one directory of its repository that has a graph."""
    (graph,) = (LAB / "model/repository").rglob("graph.pbtxt")
    return graph.parent


def model_copy(directory: Path) -> Path:
    """Return a copy of the lab's model with weights of its own, so that no other release shares its blobs."""
    copy = directory / "model"
    shutil.copytree(lab_model(), copy)
    weights = bytearray((copy / "openvino_language_model.bin").read_bytes())
    weights[-16:] = uuid.uuid4().bytes
    (copy / "openvino_language_model.bin").write_bytes(weights)
    return copy


def new_ref() -> ReleaseRef:
    """Return a release that was never published: what a depot has under a name is for ever."""
    return ReleaseRef(RELEASE_NAME, f"1.0.0-{uuid.uuid4().hex[:12]}")


def publish(directory: Path, key: Path = LAB / "signer/id_ed25519") -> ReleaseRef:
    """Build, sign and publish a release of a copy of the lab's model."""
    built = build_release(model_copy(directory), new_ref(), directory / "releases", (OVMS_VERSION,))
    sign_release(built.directory, key)
    publish_release(built.directory, depot())
    return built.manifest.ref


def publish_by_a_stranger(directory: Path) -> ReleaseRef:
    key = directory / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return publish(directory, key)


def publish_unsigned(directory: Path) -> ReleaseRef:
    """``release publish`` refuses to, so the signature is taken off in the depot."""
    ref = publish(directory)
    rewrite(ref, lambda layer: layer["mediaType"] != RELEASE_SIGNATURE)
    return ref


def rewrite(ref: ReleaseRef, keep: Callable[[dict[str, Any]], bool]) -> None:
    data = depot().get_manifest(ref)
    assert data is not None
    document = json.loads(data)
    document["layers"] = [layer for layer in document["layers"] if keep(layer)]
    depot().put_manifest(ref, json.dumps(document).encode())


def publish_with_a_flipped_byte(directory: Path) -> ReleaseRef:
    """One bit of the language model's weights, changed where the depot keeps them."""
    ref = publish(directory)
    weights = (directory / "model/openvino_language_model.bin").read_bytes()
    data = depot().get_manifest(ref)
    assert data is not None
    (layer,) = (
        layer
        for layer in json.loads(data)["layers"]
        if layer["annotations"]["org.cncf.model.filepath"] == "openvino_language_model.bin"
    )
    digest = layer["digest"].removeprefix("sha256:")
    path = f"/var/lib/depot/docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}/data"
    at = len(weights) // 2
    dd = ("dd", f"of={path}", "bs=1", f"seek={at}", "count=1", "conv=notrunc", "status=none")
    flipped = bytes([weights[at] ^ 1])
    subprocess.run(["docker", "exec", "-i", DEPOT_CONTAINER, *dd], input=flipped, check=True)
    return ref
