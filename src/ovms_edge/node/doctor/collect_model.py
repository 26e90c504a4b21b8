"""Evidence of the files that OVMS serves, without reading the weights: sizes, ends, modes, links."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.container import SERVER_UID, DesiredServer, Host, desired_server
from ovms_edge.node.doctor.evidence import ModelEvidence
from ovms_edge.node.gateway import Gateway
from ovms_edge.node.gpu import Gpu
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.releases import StagedRelease, staged_release, verify_manifest
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.node.state import Deployment
from ovms_edge.node.status import kept_status
from ovms_edge.ovms.ir import check_ends

_READ, _ENTER = 0o4, 0o1
_READ_WRITE_ENTER = 0o7


def model_evidence(config: NodeConfig, active: Deployment) -> ModelEvidence:
    """Return how the files of ``active`` are."""
    paths = StatePaths(config.state_dir)
    generation = paths.models / active.generation
    directory = generation / active.servable
    seen = ModelEvidence(
        generation=generation,
        directory=directory,
        release=_release(paths, ReleaseRef.parse(active.release)),
        exists=generation.is_dir(),
        unreadable=tuple(_unreadable(generation)),
        cache_fault=_cache_fault(paths.cache),
        config_text=_text(generation / "config.json"),
        graph_text=_text(directory / "graph.pbtxt"),
        changed=max(_modified(generation / "config.json"), _modified(directory / "graph.pbtxt")),
    )
    if not isinstance(seen.release, StagedRelease):
        return seen
    files = _Files()
    for file in seen.release.manifest.files:
        files.look(directory / file.path, seen.release.directory / file.path, file.path, file.size)
    return replace(
        seen,
        signature=_signature_fault(config, seen.release),
        revoked=_revoked(config, seen.release),
        missing=tuple(files.missing),
        misshapen=tuple(files.misshapen),
        damaged=tuple(files.damaged),
        replaced=tuple(files.replaced),
    )


def rendered_server(
    active: Deployment, release: StagedRelease, gateway: Gateway, gpu: Gpu | None, memory_bytes: int
) -> DesiredServer | EdgeError:
    """Return the container that belongs to ``active``; its cache is as large as it was made then.

    The limits are those of this host's memory of now.
    """
    try:
        settings = parse_server_settings(active.settings)
        made = replace(settings, cache_size=int(active.summary["cache_size"]), tier=None)
        host = Host(memory_bytes, gpu, gateway.network)
        return desired_server(made, release.manifest, host)
    except EdgeError as error:
        return error


@dataclass
class _Files:
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    def look(self, path: Path, original: Path, name: str, size: int) -> None:
        try:
            found = path.stat().st_size
            if found != size:
                self.misshapen.append(f"{name} has {found} bytes of {size}")
                return
            if path.suffix == ".xml":
                check_ends(path)
            if not original.exists() or not original.samefile(path):
                self.replaced.append(name)
        except FileNotFoundError:
            self.missing.append(name)
        except OSError as error:
            self.damaged.append(f"{name} cannot be read: {error.strerror}")
        except EdgeError as error:
            self.damaged.append(error.reason)


def _release(paths: StatePaths, ref: ReleaseRef) -> StagedRelease | EdgeError | None:
    try:
        return staged_release(paths, ref)
    except EdgeError as error:
        return error


def _signature_fault(config: NodeConfig, release: StagedRelease) -> EdgeError | None:
    try:
        verify_manifest(release, config.trust)
    except EdgeError as error:
        return error
    return None


def _revoked(config: NodeConfig, release: StagedRelease) -> str:
    known = kept_status(config, release.manifest.name)
    entry = known.revocation(release.manifest.version) if known else None
    return f"revoked on {entry.at}: {entry.reason}" if entry else ""


def _unreadable(generation: Path) -> Iterator[str]:
    """Yield what user 5000 cannot read. What lies above ``generation`` does not count: it is mounted."""
    for directory, names, files in os.walk(generation):
        for path in (Path(directory), *(Path(directory) / name for name in files)):
            try:
                found = path.stat()
            except OSError:
                continue  # gone meanwhile: what is missing is another's finding
            wanted = _READ | _ENTER if stat.S_ISDIR(found.st_mode) else _READ
            if not _may(found, wanted):
                yield f"{path.relative_to(generation.parent)} (mode {stat.S_IMODE(found.st_mode):04o})"
        names.sort()


def _cache_fault(cache: Path) -> str:
    try:
        found = cache.stat()
    except OSError:
        return f"no {cache}"
    if _may(found, _READ_WRITE_ENTER):
        return ""
    return f"{cache} is of {found.st_uid}:{found.st_gid}, mode {stat.S_IMODE(found.st_mode):04o}"


def _may(found: os.stat_result, wanted: int) -> bool:
    """Whether uid and gid 5000 may do ``wanted``, bits as in a mode's last digit."""
    mode = found.st_mode
    if found.st_uid == SERVER_UID:
        mode >>= 6
    elif found.st_gid == SERVER_UID:
        mode >>= 3
    return mode & wanted == wanted


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
