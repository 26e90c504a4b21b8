"""Everything that can fail while the old container still serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ovms_edge.node.alias import ensure_alias
from ovms_edge.node.container import DesiredServer
from ovms_edge.node.context import Node
from ovms_edge.node.docker import registry_of
from ovms_edge.node.generation import build_generation, make_cache
from ovms_edge.node.images import local_image
from ovms_edge.node.networks import ensure_networks
from ovms_edge.node.output import log
from ovms_edge.node.registry_auth import credentials_for
from ovms_edge.node.releases import StagedRelease


@dataclass(frozen=True)
class Places:
    """What the container mounts, and what the engine knows its image by."""

    models: Path
    cache: Path
    image: str


def prepare(node: Node, desired: DesiredServer, release: StagedRelease) -> Places:
    """Bring image, networks and directories; raises EdgeError for what is missing or unsafe."""
    docker, wanted = node.docker, desired.settings.image
    image = local_image(docker, node.paths, wanted)
    if image is None:
        image = wanted
        log(f"pulling {image}")
        docker.pull(image, credentials_for(registry_of(image), node.config.depot.credentials_file))
    ensure_networks(docker, node.gateway)
    ensure_alias(docker, node.gateway.apps)
    return Places(build_generation(node.paths, desired, release), make_cache(node.paths), image)
