"""Questions to the Docker engine."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ovms_edge.errors import EdgeError

from .console import Console
from .settings import Settings
from .shell import run, succeeds

PROJECT_LABEL = "ovms-lab.project"
INPUTS_LABEL = "ovms-lab.inputs"
IMAGE_LABEL = "ovms-lab.image"  # containers inherit it, so it is not the one that marks them
_ANONYMOUS = re.compile("[0-9a-f]{64}")


def docker(*words: str | Path, stdin: str | None = None, log: Path | None = None, remedy: str = "") -> str:
    return run(["docker", *words], stdin=stdin, log=log, remedy=remedy)


def states(settings: Settings) -> dict[str, str]:
    """Containers of this lab by name: running, exited, ..."""
    listed = docker(
        "ps", "--all", "--filter", f"label=ovms-lab={settings.name}",
        "--filter", f"label={PROJECT_LABEL}={settings.project}", "--format", "{{.Names}}\t{{.State}}",
    )  # fmt: skip
    return dict(line.split("\t") for line in listed.splitlines())


def of_other_checkouts(settings: Settings) -> dict[str, list[str]]:
    """Containers of labs with this lab's name, by the checkout that they belong to."""
    listed = docker(
        "ps", "--all", "--filter", f"label=ovms-lab={settings.name}",
        "--format", f'{{{{.Names}}}}\t{{{{.Label "{PROJECT_LABEL}"}}}}',
    )  # fmt: skip
    found: dict[str, list[str]] = {}
    for line in listed.splitlines():
        name, project = line.split("\t")
        if project not in ("", str(settings.project)):
            found.setdefault(project, []).append(name)
    return found


def claim_name(settings: Settings, console: Console) -> None:
    """Take away what a checkout that is gone left under this lab's name; raises EdgeError if it is there."""
    for project, names in of_other_checkouts(settings).items():
        _require_gone(settings, project)
        docker("rm", "--force", "--volumes", *names)
        console.say(f"removed {len(names)} containers of the checkout {project}, which is gone")
    owner = _network_owner(settings)
    if owner not in (None, str(settings.project)):
        _require_gone(settings, str(owner))
        docker("network", "rm", settings.name)
        console.say(f"removed the network {settings.name} of the checkout {owner}, which is gone")


def _require_gone(settings: Settings, project: str) -> None:
    # Not the directory: an engine that restarts makes the sources of mounts anew, as empty directories.
    if (Path(project) / "lab" / "lab").is_file():
        raise EdgeError(
            f"the lab {settings.name} on this Docker engine belongs to the checkout {project}",
            f"run `make down` there, or set OVMS_LAB_NAME and OVMS_LAB_SUBNET for {settings.project}",
        )


def labels(settings: Settings) -> list[str]:
    """Options of `docker run` that mark a container as ours."""
    return ["--label", f"ovms-lab={settings.name}", "--label", f"{PROJECT_LABEL}={settings.project}"]


def image_inputs(tags: list[str]) -> dict[str, str]:
    """The inputs that each existing image was built from, by tag."""
    found = {}
    for tag in tags:
        try:
            described = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", tag))
        except EdgeError:
            continue  # no such image
        found[tag] = (described or {}).get(INPUTS_LABEL, "")
    return found


def image_id(tag: str) -> str | None:
    try:
        return docker("image", "inspect", "--format", "{{.Id}}", tag).strip()
    except EdgeError:
        return None


def ensure_network(settings: Settings) -> None:
    if _network_owner(settings) is not None:
        return
    docker(
        "network", "create", "--subnet", str(settings.subnet), *labels(settings), settings.name,
        remedy="if the subnet is in use, set OVMS_LAB_SUBNET to a free one",
    )  # fmt: skip


def remove_network(settings: Settings) -> None:
    if _network_owner(settings) == str(settings.project):
        docker("network", "rm", settings.name)


def _network_owner(settings: Settings) -> str | None:
    """The checkout that the network of this lab's name belongs to, or None if there is no such network."""
    if not succeeds(["docker", "network", "inspect", settings.name]):
        return None
    marks = json.loads(docker("network", "inspect", "--format", "{{json .Labels}}", settings.name)) or {}
    if marks.get("ovms-lab") != settings.name:
        raise EdgeError(
            f"the Docker network {settings.name} is not a lab's", "set OVMS_LAB_NAME to another name"
        )
    return str(marks.get(PROJECT_LABEL, settings.project))


def contents() -> list[str]:
    """What the engine holds, but dangling images and volumes without a name."""
    return named(
        docker("ps", "--all", "--format", "{{.Names}}"),
        docker("volume", "ls", "--format", "{{.Name}}"),
        docker("images", "--format", "{{.Repository}}:{{.Tag}}"),
    )


def named(containers: str, volumes: str, images: str) -> list[str]:
    """The lists of `docker ps`, `docker volume ls` and `docker images` as one, without what has no name."""
    return [
        *(f"container {name}" for name in containers.split()),
        *(f"volume {name}" for name in volumes.split() if not _ANONYMOUS.fullmatch(name)),
        *(f"image {name}" for name in images.split() if not name.startswith("<none>")),
    ]
