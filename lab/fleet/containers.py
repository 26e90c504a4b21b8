"""Questions to the Docker engine."""

from __future__ import annotations

import json
from pathlib import Path

from ovms_edge.errors import EdgeError

from .settings import Settings
from .shell import run, succeeds

PROJECT_LABEL = "ovms-lab.project"
INPUTS_LABEL = "ovms-lab.inputs"


def docker(*words: str | Path, stdin: str | None = None, log: Path | None = None, remedy: str = "") -> str:
    return run(["docker", *words], stdin=stdin, log=log, remedy=remedy)


def states(settings: Settings) -> dict[str, str]:
    """Containers of this lab by name: running, exited, ..."""
    listed = docker(
        "ps", "--all", "--filter", f"label=ovms-lab={settings.name}",
        "--format", f'{{{{.Names}}}}\t{{{{.State}}}}\t{{{{.Label "{PROJECT_LABEL}"}}}}',
    )  # fmt: skip
    found = {}
    for line in listed.splitlines():
        name, state, project = line.split("\t")
        if project != str(settings.project):
            raise EdgeError(
                f"the containers of lab {settings.name} belong to the checkout {project}",
                f"run `make down` there, or set OVMS_LAB_NAME and OVMS_LAB_SUBNET for {settings.project}",
            )
        found[name] = state
    return found


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
    if succeeds(["docker", "network", "inspect", settings.name]):
        return
    docker(
        "network", "create", "--subnet", str(settings.subnet),
        "--label", f"ovms-lab={settings.name}", settings.name,
        remedy="if the subnet is in use, set OVMS_LAB_SUBNET to a free one",
    )  # fmt: skip


def remove_network(settings: Settings) -> None:
    if succeeds(["docker", "network", "inspect", settings.name]):
        docker("network", "rm", settings.name)
