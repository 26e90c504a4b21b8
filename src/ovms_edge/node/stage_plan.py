"""Find out what staging a release takes. Reads only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ovms_edge.delta import FilePlan, Local, plan_release
from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, Manifest, ReleaseFile, ReleaseRef
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.described import Blobs, local_index
from ovms_edge.node.host import memory_bytes
from ovms_edge.node.output import log, size_text
from ovms_edge.node.partial import allocated_bytes, present_chunks
from ovms_edge.node.paths import StatePaths, free_bytes
from ovms_edge.node.releases import (
    damaged_files,
    misshapen_files,
    staged_release,
    staged_releases,
    verify_manifest,
)
from ovms_edge.node.signature import verify_signature
from ovms_edge.node.source import SignedDocument, Source
from ovms_edge.node.status import current_status, refuse_revoked
from ovms_edge.ovms.graph import check_options
from ovms_edge.ovms.memory import HostMemory, ModelMemory, plan_memory

# What a node needs besides releases: the image's layers are in Docker's own directory, often the same disk.
DISK_RESERVE_BYTES = 1 << 30
_STAGING_DIGITS = 12


@dataclass(frozen=True)
class Staging:
    """Where one manifest's release is put together; what another manifest left is not a part of it."""

    root: Path

    @classmethod
    def of(cls, paths: StatePaths, ref: ReleaseRef, manifest: bytes) -> Staging:
        """Return the place of the release that ``manifest`` describes."""
        return cls(paths.staging(ref) / hashlib.sha256(manifest).hexdigest()[:_STAGING_DIGITS])

    @property
    def tree(self) -> Path:
        """The release as it is to be; a file is in it once it is verified and durable."""
        return self.root / "tree"

    def part(self, file: ReleaseFile) -> Path:
        """Where ``file`` is put together."""
        return self.root / "partial" / f"{file.sha256}.part"


@dataclass(frozen=True)
class StagePlan:
    """What staging one release takes. ``files`` is empty if it is ``complete``; sizes in bytes.

    ``rate`` is what the schedule allows now, in bytes a second; None: no limit.
    """

    ref: ReleaseRef
    manifest: Manifest
    signed: SignedDocument
    staging: Staging
    blobs: Blobs
    local: Local
    complete: bool
    files: tuple[FilePlan, ...]
    disk_bytes: int
    free_bytes: int
    rate: int | None
    sources: tuple[str, ...]

    @property
    def fetch_bytes(self) -> int:
        """What comes over the wire: files, residuals, and the indexes and tables that describe them."""
        return sum(plan.fetch_bytes for plan in self.files) + self.blobs.fetched_bytes

    @property
    def document(self) -> dict[str, Any]:
        """What ``stage --plan`` reports."""
        total = self.manifest.total_bytes
        after = {"release": str(self.ref), "bytes": total, "fetch_bytes": self.fetch_bytes}
        diff = {} if self.complete else {"diff": {"before": {"release": None}, "after": after}}
        return {
            "ok": True,
            "changed": not self.complete,
            "release": str(self.ref),
            "bytes": total,
            "fetch_bytes": self.fetch_bytes,
            "disk_bytes": self.disk_bytes,
            "free_bytes": self.free_bytes,
            "rate": self.rate,
            "seconds": round(self.fetch_bytes / self.rate, 1) if self.rate else None,
            "sources": list(self.sources),
            "files": [_row(plan) for plan in self.files],
            **diff,
        }


def _row(plan: FilePlan) -> dict[str, Any]:
    row = {"path": plan.file.path, "size": plan.file.size, "how": plan.how, "fetch_bytes": plan.fetch_bytes}
    return {**row, **plan.sums}


def plan_stage(
    config: NodeConfig, source: Source, ref: ReleaseRef, *, read_every_byte: bool = False, keep: bool = False
) -> StagePlan:
    """Return what is missing and how it comes here. ``keep``: keep the status list that was seen.

    The signature is checked before anything in the manifest is believed. Raises EdgeError for whatever
    would keep the release from being staged: depot, signature, graph options, memory, disk.
    """
    paths = StatePaths(config.state_dir)
    signed = source.signed_manifest(ref)
    verify_signature(ref, signed.data, signed.signature, config.trust)
    manifest = Manifest.from_bytes(signed.data)
    if manifest.ref != ref:
        raise EdgeError(
            f"the depot's {ref} holds {manifest.ref}", "publish it again with ovms-edge release publish"
        )
    refuse_revoked(current_status(config, source, ref.name, keep=keep), ref)
    staging = Staging.of(paths, ref, signed.data)
    damaged = _damaged(config, ref, signed, read_every_byte)
    local = Local()
    releases = [release.directory for release in staged_releases(paths)]
    blobs = Blobs(source, f"models/{ref.name}", [staging.tree, *releases])
    files: tuple[FilePlan, ...] = ()
    disk = 0
    if damaged != []:
        _check_servable(manifest)
        _enter_local(local, paths, staging, manifest, damaged or [])
        files = tuple(
            plan_release(
                manifest,
                blobs,
                local,
                lambda file: staging.tree / file.path,
                lambda file, chunks: present_chunks(staging.part(file), chunks),
            )
        )
        disk = _disk_bytes(files, staging)
    free = check_space(paths.root, disk, ref)
    return StagePlan(
        ref=ref,
        manifest=manifest,
        signed=signed,
        staging=staging,
        blobs=blobs,
        local=local,
        complete=damaged == [],
        files=files,
        disk_bytes=disk,
        free_bytes=free,
        rate=config.transfer.schedule.rate_at(datetime.now().astimezone()),
        sources=source.names,
    )


def check_space(root: Path, wanted: int, what: object) -> int:
    """Return the free bytes at ``root``; raises EdgeError if ``wanted`` and the reserve are not there."""
    free = free_bytes(root)
    if wanted and wanted + DISK_RESERVE_BYTES > free:
        raise EdgeError(
            f"no space on {root}: {size_text(wanted)} for {what} and "
            f"{size_text(DISK_RESERVE_BYTES)} in reserve needed, {size_text(free)} free",
            "free space there, for example with ovms-node gc",
        )
    return free


def _check_servable(manifest: Manifest) -> None:
    for version in manifest.ovms_versions:
        check_options(manifest.graph, version)
    plan_memory(
        ModelMemory(manifest.memory.weights_bytes, manifest.memory.kv_bytes_per_token),
        HostMemory(memory_bytes()[0]),
        ovms_version=manifest.ovms_versions[0],
    )


def _damaged(
    config: NodeConfig, ref: ReleaseRef, signed: SignedDocument, read_every_byte: bool
) -> list[str] | None:
    """Return the paths of files that are not as they should be; None if the release is not here."""
    try:
        present = staged_release(StatePaths(config.state_dir), ref)
        if present is None:
            return None
        verify_manifest(present, config.trust)
    except EdgeError as error:
        log(f"{ref} will be staged again: {error.reason}")
        return [MANIFEST_FILE]
    if present.manifest_bytes != signed.data:
        raise EdgeError(
            f"{ref} in the depot is another than the {ref} on this node",
            "releases never change: publish it under a new version",
        )
    wrong = damaged_files(present) if read_every_byte else misshapen_files(present)
    for path in wrong:
        log(f"{ref}: {path} is damaged and will be made again")
    return wrong


def _enter_local(
    local: Local, paths: StatePaths, staging: Staging, manifest: Manifest, damaged: list[str]
) -> None:
    """Enter what lies here: what an earlier call finished, this release if it is damaged, all others."""
    for file in manifest.files:
        if _has_size(staging.tree / file.path, file):
            local.add(file, local_index(staging.tree, file), staging.tree / file.path)
    for directory, files in _candidates(paths, manifest):
        for file in files:
            path = directory / file.path
            if path.is_file():
                whole = _has_size(path, file) and not (
                    directory == paths.release(manifest.ref) and file.path in damaged
                )
                index = local_index(directory, file)
                if whole or index:
                    local.add(file, index, path, whole=whole)


def _candidates(paths: StatePaths, manifest: Manifest) -> Iterator[tuple[Path, tuple[ReleaseFile, ...]]]:
    # if only the manifest or its signature is damaged here, the files may still be those of the depot's
    yield paths.release(manifest.ref), manifest.files
    for release in staged_releases(paths):
        if release.manifest.ref != manifest.ref:
            yield release.directory, release.manifest.files


def _has_size(path: Path, file: ReleaseFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size


def _disk_bytes(files: tuple[FilePlan, ...], staging: Staging) -> int:
    return sum(
        max(plan.file.size - allocated_bytes(staging.part(plan.file)), 0) for plan in files if not plan.link
    )
