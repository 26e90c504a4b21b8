"""Takes away what this tool made in Docker Engine: containers, networks and images."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ovms_edge.node.alias import CONTAINER as ALIAS
from ovms_edge.node.container import SPEC_LABEL
from ovms_edge.node.docker import Docker, DockerError, EngineLostError
from ovms_edge.node.networks import NETWORK_LABEL
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.removal import Removal
from ovms_edge.node.slots import SLOTS, container_name
from ovms_edge.node.unfinished import Unfinished

_OWN_CONTAINERS = {ALIAS, *map(container_name, SLOTS)}


def own_container(container: Mapping[str, Any]) -> bool:
    """Whether a container of the engine's list is ours: by our label, and our name for it."""
    names = {name.removeprefix("/") for name in container["Names"]}
    return SPEC_LABEL in (container["Labels"] or {}) and bool(names & _OWN_CONTAINERS)


def own_images(paths: StatePaths, containers: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return references and ids of images that this tool fetched or made, by its files and ``containers``."""
    found = {container["ImageID"] for container in containers}
    for path in (paths.state, paths.images):
        try:
            document = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            continue
        if path == paths.images:
            found |= set(document.values())
        else:
            deployments = (document.get("active"), document.get("previous"))
            found |= {entry["settings"]["image"] for entry in deployments if entry}
    return found


def remove_containers(removal: Removal, docker: Docker, paths: StatePaths, unfinished: Unfinished) -> str:
    """Take them away; returns why the engine is needed by others, empty if it is not (or does not run)."""
    try:
        containers = docker.containers()
    except EngineLostError:
        return ""
    own = [container for container in containers if own_container(container)]
    ours, others_images = _images(docker, own_images(paths, own) | unfinished.names("images"))
    if not removal.check:
        unfinished.note(images=[image["Id"] for image in ours])
    for container in own:
        name = container["Names"][0].removeprefix("/")
        if removal.take("container", name):
            docker.remove(container["Id"])
    _remove_networks(removal, docker, {container["Id"] for container in own})
    others = [container for container in containers if container not in own]
    kept = [*_remove_images(removal, docker, ours), *others_images]
    if others:
        return f"container {others[0]['Names'][0].removeprefix('/')} is none of ours"
    if kept:
        return f"image {kept[0]} is none of ours"
    volumes = docker.volumes()
    return f"volume {volumes[0]['Name']} is none of ours" if volumes else ""


def _remove_networks(removal: Removal, docker: Docker, own: set[str]) -> None:
    for entry in docker.networks():
        if NETWORK_LABEL not in (entry.get("Labels") or {}):
            continue
        inside = set((docker.network(entry["Id"]) or {}).get("Containers") or {}) - own
        if inside:
            removal.leave("network", entry["Name"], f"{len(inside)} containers of others are in it")
        elif removal.take("network", entry["Name"]):
            docker.remove_network(entry["Id"])


def _images(docker: Docker, own: set[str]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Return our images, and the names of those that are not ours."""
    ours: list[Mapping[str, Any]] = []
    others: list[str] = []
    for image in docker.images():
        tags = _tags(image)
        names = {image["Id"], *tags, *(image.get("RepoDigests") or ())}
        if names & own or any(tag.startswith(f"{ALIAS}:") for tag in tags):
            ours.append(image)
        else:
            others.append((tags or [image["Id"]])[0])
    return ours, others


def _remove_images(removal: Removal, docker: Docker, images: Iterable[Mapping[str, Any]]) -> list[str]:
    """Take images away; return the names of those that cannot go."""
    kept = []
    for name in (name for image in images for name in _tags(image) or [image["Id"]]):
        if removal.check:
            removal.take("image", name)
            continue
        try:
            docker.remove_image(name)
        except DockerError as error:
            removal.leave("image", name, error.reason)
            kept.append(name)
        else:
            removal.take("image", name)
    return kept


def _tags(image: Mapping[str, Any]) -> list[str]:
    return [tag for tag in image.get("RepoTags") or () if tag != "<none>:<none>"]
