"""The OVMS stand-in: built by lab/standin/build, pushed to the depot under the real image's name."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

from ovms_edge.errors import EdgeError

from . import containers, depot, files, images
from .console import Console, duration
from .containers import docker
from .settings import OVMS_VERSION, Settings
from .shell import run, succeeds, tail

REPOSITORY = "openvino/model_server"


def image(settings: Settings) -> str:
    return settings.image(f"model_server:{OVMS_VERSION}-gpu")


def ensure(settings: Settings, console: Console) -> bool:
    """Build it if its inputs changed, push it if the depot has another or none; returns whether it had to."""
    built = _build(settings, console)
    target = settings.server_image
    docker("tag", image(settings), target)
    there = depot.has(settings, REPOSITORY, f"{OVMS_VERSION}-gpu")
    ours = json.loads(docker("image", "inspect", "--format", "{{json .RepoDigests}}", target))
    if there and f"{settings.depot_registry}/{REPOSITORY}@{there}" in ours:
        return built
    start = time.monotonic()
    depot.trust_on_host(settings)
    docker(
        "--config",
        settings.home / "docker",
        "push",
        "--quiet",
        target,
        log=settings.logs / "standin-push.log",
    )
    console.say(f"OVMS stand-in pushed to the depot in {duration(time.monotonic() - start)}")
    return True


def _build(settings: Settings, console: Console) -> bool:
    tag = image(settings)
    record = settings.home / "host" / "standin.json"
    built = {"inputs": _inputs(settings), "image": containers.image_id(tag)}
    if built["image"] and files.read_json(record) == built:
        return False
    start = time.monotonic()
    log = settings.logs / "standin-build.log"
    script = settings.project / "lab" / "standin" / "build"
    run(
        [
            script,
            "--base",
            images.ovms_base(settings),
            "--tag",
            tag,
            "--pip",
            f"{_python_with_pip(settings)} -m pip",
        ],
        log=log,
    )
    built["image"] = containers.image_id(tag)
    if built["image"] is None:
        raise EdgeError(f"lab/standin/build made no image {tag}: {tail(log, 3)}", f"see {log}")
    files.write_json(record, built)
    console.say(f"OVMS stand-in built in {duration(time.monotonic() - start)}")
    return True


def _inputs(settings: Settings) -> str:
    """Its own files, the parts of ovms_edge that it shares, and the image under it."""
    shared = settings.project / "src" / "ovms_edge"
    tree = images.tree_digest(
        settings.project / "lab" / "standin", shared / "ovms", shared / "graph", *sorted(shared.glob("*.py"))
    )
    return hashlib.sha256((tree + images.inputs(settings)[images.ovms_base(settings)]).encode()).hexdigest()


def _python_with_pip(settings: Settings) -> Path:
    """Debian's own python3 has no pip: a small environment of the lab's brings it."""
    home = settings.home / "pip"
    python = home / "bin" / "python"
    if not succeeds([python, "-m", "pip", "--version"]):
        run([sys.executable, "-m", "venv", "--clear", home])
    return python
