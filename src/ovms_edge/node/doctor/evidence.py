"""What the checks go by: plain values, collected once. Sizes in bytes, times in seconds since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.container import DesiredServer
from ovms_edge.node.gateway import Gateway
from ovms_edge.node.gpu import Gpu
from ovms_edge.node.releases import StagedRelease
from ovms_edge.node.slots import container_name
from ovms_edge.node.state import Deployment, State
from ovms_edge.ovms.client import ServableStatus


@dataclass(frozen=True)
class Places:
    """Where to look. Other than on a real host only in tests."""

    node_config: Path
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")
    run: Path = Path("/run")
    modules: Path = Path("/lib/modules")
    firmware: Path = Path("/lib/firmware")
    docker_config: Path = Path("/etc/docker/daemon.json")

    @property
    def etc(self) -> Path:
        """Where the roles wrote the settings."""
        return self.node_config.parent

    @property
    def gateway_directory(self) -> Path:
        """Where the role ``ovms_gateway`` wrote HAProxy's configuration."""
        return self.etc / "gateway"


@dataclass(frozen=True)
class Disk:
    """The file system of a path. ``inodes`` is 0 where it counts none."""

    path: Path
    total: int
    free: int
    inodes: int
    free_inodes: int
    read_only: bool


@dataclass(frozen=True)
class HostEvidence:
    """The host itself. ``in_container``: kernel, its log and firmware are those of another machine.

    ``kernel_log`` holds the messages of the last day; ``memory_stall`` is the share of time, in percent, in
    which all work waited for memory (PSI, full avg60). None: not known.
    """

    in_container: bool
    os: Mapping[str, str]
    machine: str
    kernel: str
    memory_total: int
    memory_available: int
    memory_stall: float | None
    clock_synchronized: bool | None
    kernel_log: tuple[str, ...] | None
    has_modules: bool
    has_firmware: bool
    reboot_required: bool
    state_disk: Disk | None
    docker_disk: Disk | None


@dataclass(frozen=True)
class GpuEvidence:
    """``gpu`` None: no Intel GPU on the PCI bus. ``render_mode``: mode bits of the render node."""

    gpu: Gpu | None
    render_mode: int = 0


@dataclass(frozen=True)
class UnitsEvidence:
    """What systemd says. ``properties``: of the units that a store has; ``failed``: those of all the host."""

    properties: Mapping[str, Mapping[str, str]]
    failed: tuple[str, ...]

    def active(self, unit: str) -> str:
        """Return a unit's ActiveState."""
        return self.properties.get(unit, {}).get("ActiveState", "unknown")

    def file_state(self, unit: str) -> str:
        """Return a unit's UnitFileState; empty if there is no such unit."""
        return self.properties.get(unit, {}).get("UnitFileState", "")


@dataclass(frozen=True)
class EngineEvidence:
    """What Docker Engine says, ``error`` if it does not. ``containers`` by name, None for one that is not."""

    installed: bool
    error: EdgeError | None = None
    version: str = ""
    live_restore: bool = True
    containers: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    image: Mapping[str, Any] | None = None
    network: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class LogEvidence:
    """What OVMS logged in this run of its container: devices, its last error, what it said of the GPU."""

    devices: tuple[str, ...] = ()
    last_error: str = ""
    gpu_errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServerEvidence:
    """What OVMS in the active slot answers, past the gateway; ``error`` if it does not."""

    error: EdgeError | None = None
    servables: Mapping[str, ServableStatus] = field(default_factory=dict)
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnswerEvidence:
    """What the running gateway says of itself: its route, the digest of its configuration."""

    error: EdgeError | None = None
    said: str = ""
    config: str | None = None


@dataclass(frozen=True)
class GatewayEvidence:
    """The gateway's files and port.

    ``written_config`` is the digest in the file, ``intact`` whether the files are what that digest is of
    (None: not known); ``holder`` is who else listens at its port, as (process, what ends it);
    ``certificate_ends`` is None without a certificate.
    """

    written_config: str | None = None
    intact: bool | None = None
    holder: tuple[str, str] | None = None
    certificate_ends: float | None = None


@dataclass(frozen=True)
class ModelEvidence:
    """The files of what is active: the release, and the directory that the container sees at /models."""

    generation: Path
    directory: Path
    release: StagedRelease | EdgeError | None
    signature: EdgeError | None = None
    revoked: str = ""
    exists: bool = True
    missing: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    cache_fault: str = ""
    config_text: str | None = None
    graph_text: str | None = None
    changed: float = 0.0  # when config.json or graph.pbtxt was written last


@dataclass
class DepotEvidence:
    """How far a question to a registry came; filled in step by step, so that what hangs is seen.

    ``step``: ca, resolve, connect, certificate, answer, done; ``fault`` is what ended it there.
    """

    url: str
    step: str = "ca"
    fault: str = ""
    proxied: bool = False
    certificate_ends: float | None = None
    status: int | None = None
    challenge: str = ""
    clock_ahead: float | None = None


@dataclass(frozen=True)
class Evidence:
    """Everything. What needs something that is not there is None, and its checks wait for that."""

    places: Places
    now: float
    set_up: bool
    config: NodeConfig | EdgeError
    gateway: Gateway | EdgeError
    state: State | EdgeError
    host: HostEvidence
    gpu: GpuEvidence | None
    units: UnitsEvidence | None
    engine: EngineEvidence
    log: LogEvidence
    gateway_evidence: GatewayEvidence
    answer: AnswerEvidence
    depot: DepotEvidence | None
    mirrors: tuple[DepotEvidence, ...]
    signers: int
    server: ServerEvidence | None
    model: ModelEvidence | None
    rendered: DesiredServer | EdgeError | None
    switching: str  # what holds the lock of a switch, empty if nothing does
    transfer: Mapping[str, Any] | None
    gate: Mapping[str, Any] | None
    status_age: float | None

    @property
    def active(self) -> Deployment | None:
        """What is to serve here, None if nothing is or it is not known."""
        return None if isinstance(self.state, EdgeError) else self.state.active

    @property
    def container(self) -> Mapping[str, Any] | None:
        """``docker inspect`` of the active slot's container."""
        active = self.active
        return self.engine.containers.get(container_name(active.slot)) if active else None
