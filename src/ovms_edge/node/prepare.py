"""Everything that can fail while the old container still serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.container import MASQUERADE_OPTION, DesiredServer, network_body
from ovms_edge.node.docker import Docker, registry_of
from ovms_edge.node.generation import build_generation, make_cache
from ovms_edge.node.images import local_image
from ovms_edge.node.output import log
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.registry_auth import credentials_for
from ovms_edge.node.releases import StagedRelease


@dataclass(frozen=True)
class Places:
    """What the container mounts, and what the engine knows its image by."""

    models: Path
    cache: Path
    image: str


def prepare(config: NodeConfig, docker: Docker, desired: DesiredServer, release: StagedRelease) -> Places:
    """Bring image, network and directories; raises EdgeError for what is missing or unsafe."""
    settings, paths = desired.settings, StatePaths(config.state_dir)
    image = local_image(docker, paths, settings.image)
    if image is None:
        image = settings.image
        log(f"pulling {image}")
        docker.pull(image, credentials_for(registry_of(image), config.depot.credentials_file))
    network = docker.network(settings.network)
    if network is None:
        docker.create_network(network_body(settings.network))
    elif (network["Options"] or {}).get(MASQUERADE_OPTION) != "false":
        raise EdgeError(
            f"Docker network {settings.network} lets containers out, and OVMS fetches any URL",
            f"remove it (docker network rm {settings.network}) or set another network",
        )
    return Places(build_generation(paths, desired, release), make_cache(paths), image)
