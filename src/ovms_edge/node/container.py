"""What the serving container has to be, computed from settings, release and host. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import Manifest
from ovms_edge.node.gateway import SERVER_PORT
from ovms_edge.node.gpu import METEOR_LAKE, Gpu
from ovms_edge.node.settings import ServerSettings
from ovms_edge.ovms.config import render_config
from ovms_edge.ovms.graph import plugin_config_object, render_graph
from ovms_edge.ovms.kv_cache import kv_precision_in
from ovms_edge.ovms.memory import GIB, HostMemory, MemoryPlan, ModelMemory, check_limit, plan_memory

SPEC_LABEL = "ovms-edge.spec"
RELEASE_LABEL = "ovms-edge.release"

SERVER_UID = 5000  # user ovms of the image (model_server v2025.4.1, Dockerfile.ubuntu)
# Not unless-stopped: an engine that was killed stops what it finds running when it comes back, remembers that
# as a stop by hand, and starts nothing again (seen with Docker 26.1). It is for the container that serves:
# one that no gate has passed stays down, so that a host that starts in mid-switch starts one model only.
RESTART_POLICY = "always"
PIDS_LIMIT = 1024
STOP_TIMEOUT_SECONDS = 30
# Docker's own, and those of a model that loads beside the one that serves: a ninth of what both want.
CPU_SHARES = 1024
LOADING_CPU_SHARES = 128
_SPEC_DIGITS = 12


@dataclass(frozen=True)
class Host:
    """What of this host enters the container: memory in bytes, the GPU, and the network of OVMS."""

    memory_bytes: int
    gpu: Gpu | None
    network: str


@dataclass(frozen=True)
class DesiredServer:
    """One container, complete. ``spec`` is a digest of everything that enters it."""

    settings: ServerSettings
    manifest: Manifest
    memory: MemoryPlan
    limit_bytes: int
    graph_text: str
    config_text: str
    groups: tuple[str, ...]
    network: str
    spec: str = ""

    @property
    def generation(self) -> str:
        """Name of the directory that is mounted at /models."""
        return f"{self.manifest.version}-{self.spec[:_SPEC_DIGITS]}"

    @property
    def summary(self) -> dict[str, Any]:
        """What a person compares before and after."""
        return {
            "release": str(self.manifest.ref),
            "servable": self.settings.servable,
            "image": self.settings.image,
            "device": self.settings.device,
            "cache_size": self.memory.cache_size_gib,
            "memory_limit_gib": self.limit_bytes // GIB,
            "tier": self.memory.tier,
            "spec": self.spec[:_SPEC_DIGITS],
        }

    def body(
        self, models: Path, cache: Path, image: str | None = None, address: str | None = None
    ) -> dict[str, Any]:
        """Return the body of ``POST /containers/create``.

        ``image`` is what the engine knows the image by, ``address`` that of the slot.
        """
        settings, gpu = self.settings, self.settings.device != "CPU"
        host_config: dict[str, Any] = {
            "Mounts": [
                {"Type": "bind", "Source": str(models), "Target": "/models", "ReadOnly": True},
                {"Type": "bind", "Source": str(cache), "Target": "/cache", "ReadOnly": False},
            ],
            "RestartPolicy": {"Name": "no"},
            "NetworkMode": self.network,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": "rw,nosuid,nodev,noexec,size=256m,mode=1777"},  # noqa: S108  in the container
            "Memory": self.limit_bytes,
            "MemorySwap": self.limit_bytes,  # no swap: a model that swaps answers in hours
            "PidsLimit": PIDS_LIMIT,
            "GroupAdd": list(self.groups),
        }
        if gpu:
            host_config["Devices"] = [
                {"PathOnHost": "/dev/dri", "PathInContainer": "/dev/dri", "CgroupPermissions": "rwm"}
            ]
        return {
            "Image": image or settings.image,
            "User": f"{SERVER_UID}:{SERVER_UID}",
            "Cmd": self._command(),
            # plugin_config's CACHE_DIR reaches the language model only; the driver's own cache the rest
            "Env": ["NEO_CACHE_DIR=/cache"] if gpu else [],
            "StopTimeout": STOP_TIMEOUT_SECONDS,
            "Labels": {SPEC_LABEL: self.spec, RELEASE_LABEL: str(self.manifest.ref)},
            "HostConfig": host_config,
            "NetworkingConfig": {"EndpointsConfig": {self.network: {"IPAMConfig": {"IPv4Address": address}}}},
        }

    def _command(self) -> list[str]:
        # never --port: that is gRPC; never a watcher: OVMS drops the old graph before it checks the new one
        return [
            *("--config_path", "/models/config.json"),
            *("--rest_port", str(SERVER_PORT)),
            *("--log_level", self.settings.log_level),
            *("--file_system_poll_wait_seconds", "0"),
        ]


def desired_server(settings: ServerSettings, manifest: Manifest, host: Host) -> DesiredServer:
    """Compute the container that serves ``manifest`` on ``host``.

    Raises EdgeError for what cannot work here: a release not meant for this OVMS, memory, the GPU.
    """
    if settings.ovms_version not in manifest.ovms_versions:
        raise EdgeError(
            f"{manifest.ref} is meant for OVMS {', '.join(manifest.ovms_versions)}, ovms_version is "
            f"{settings.ovms_version}",
            "set image and ovms_version to one of these, or build the release for this version",
        )
    plugin_config = _plugin_config(settings, manifest.graph)
    memory = plan_memory(
        ModelMemory(manifest.memory.weights_bytes, manifest.memory.kv_bytes_per_token),
        HostMemory(host.memory_bytes),
        settings.cache_size,
        ovms_version=settings.ovms_version,
        kv_precision=kv_precision_in(plugin_config),
        tier=settings.tier,
        device=settings.device,
    )
    limit = memory.limit_bytes
    if settings.memory_limit_gib is not None:
        limit = check_limit(settings.memory_limit_gib, host.memory_bytes, memory)
    options = _graph_options(settings, manifest.graph, plugin_config, memory)
    unsealed = DesiredServer(
        settings=settings,
        manifest=manifest,
        memory=memory,
        limit_bytes=limit,
        graph_text=render_graph(options, settings.ovms_version),
        config_text=render_config(settings.servable, f"/models/{settings.servable}"),
        groups=_groups(settings, host.gpu),
        network=host.network,
    )
    return replace(unsealed, spec=_spec(unsealed))


def _plugin_config(settings: ServerSettings, defaults: Mapping[str, Any]) -> dict[str, Any]:
    released = plugin_config_object(defaults.get("plugin_config", {}))
    return {
        # a CACHE_DIR there is for another container: in ours only /cache can be written
        **{name: value for name, value in released.items() if name != "CACHE_DIR"},
        **({"CACHE_DIR": "/cache"} if settings.device != "CPU" else {}),
        **plugin_config_object(settings.graph.get("plugin_config", {})),
    }


def _graph_options(
    settings: ServerSettings, defaults: Mapping[str, Any], plugin_config: dict[str, Any], memory: MemoryPlan
) -> dict[str, Any]:
    options = {
        "max_num_seqs": memory.concurrency,
        **defaults,
        **settings.graph,
        "device": settings.device,
        "cache_size": memory.cache_size_gib,
    }
    options.pop("plugin_config", None)
    return {**options, "plugin_config": plugin_config} if plugin_config else options


def _groups(settings: ServerSettings, gpu: Gpu | None) -> tuple[str, ...]:
    if settings.device == "CPU":
        return ()
    if gpu is None:
        raise EdgeError(
            "no Intel GPU on this host",
            f"set device to CPU, or use a host with one of 8086:{', 8086:'.join(sorted(METEOR_LAKE))}",
        )
    if gpu.trouble:
        raise EdgeError(*gpu.trouble)
    return (str(gpu.render_gid),)


def _spec(server: DesiredServer) -> str:
    """Digest what enters the container, except where its directories lie."""
    body = server.body(Path("MODELS"), Path("CACHE"))
    parts = [
        body,
        server.graph_text,
        server.config_text,
        hashlib.sha256(server.manifest.to_bytes()).hexdigest(),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
