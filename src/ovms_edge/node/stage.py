"""Bring a release onto this node: complete and verified, or absent. Nothing that serves is touched."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, SIGNATURE_FILE, Manifest, ReleaseFile, ReleaseRef
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.depot import Depot, SignedManifest
from ovms_edge.node.fetch import Progress, fetch, partial_size
from ovms_edge.node.files import remove_tree, sha256_of, sync_directory, sync_tree, write_atomic
from ovms_edge.node.host import memory_bytes
from ovms_edge.node.output import log, size_text
from ovms_edge.node.paths import StatePaths, free_bytes
from ovms_edge.node.releases import (
    damaged_files,
    misshapen_files,
    staged_release,
    staged_releases,
    verify_manifest,
)
from ovms_edge.node.signature import verify_signature
from ovms_edge.node.state import record
from ovms_edge.ovms.graph import check_options
from ovms_edge.ovms.memory import HostMemory, ModelMemory, plan_memory

# What a node needs besides releases: the image's layers are in Docker's own directory, often the same disk.
DISK_RESERVE_BYTES = 1 << 30
_STAGING_DIGITS = 12


@dataclass(frozen=True)
class StagePlan:
    """What staging one release takes.

    ``done`` was fetched by a call that did not end, ``link_from`` (by sha256) lies in another release, the
    rest comes from the depot.
    """

    ref: ReleaseRef
    manifest: Manifest
    signed: SignedManifest
    complete: bool
    done: tuple[ReleaseFile, ...]
    link_from: dict[str, Path]
    fetch_bytes: int
    staging: Path

    @property
    def document(self) -> dict[str, Any]:
        """What ``stage`` reports."""
        total = self.manifest.total_bytes
        after = {"release": str(self.ref), "bytes": total, "fetch_bytes": self.fetch_bytes}
        diff = {} if self.complete else {"diff": {"before": {"release": None}, "after": after}}
        return {"ok": True, "changed": not self.complete, "release": str(self.ref), "bytes": total, **diff}


def plan_stage(config: NodeConfig, ref: ReleaseRef, read_every_byte: bool = False) -> StagePlan:
    """Find out what is missing. Reads only.

    The signature is checked before anything in the manifest is believed. Raises EdgeError for whatever
    would keep the release from being staged: depot, signature, graph options, memory, disk.
    """
    paths = StatePaths(config.state_dir)
    signed = Depot(config.depot.url, config.depot.ca_file, config.depot.credentials_file).signed_manifest(ref)
    verify_signature(ref, signed.manifest, signed.signature, config.trust)
    manifest = Manifest.from_bytes(signed.manifest)
    if manifest.ref != ref:
        raise EdgeError(
            f"the depot's {ref} holds {manifest.ref}", "publish it again with ovms-edge release publish"
        )
    damaged = _damaged(config, ref, signed, read_every_byte)
    if damaged == []:
        return StagePlan(ref, manifest, signed, True, (), {}, 0, _staging(paths, ref, signed))
    for version in manifest.ovms_versions:
        check_options(manifest.graph, version)
    plan_memory(
        ModelMemory(manifest.memory.weights_bytes, manifest.memory.kv_bytes_per_token),
        HostMemory(memory_bytes()[0]),
        ovms_version=manifest.ovms_versions[0],
    )
    return _plan_missing(paths, ref, manifest, signed, damaged or [])


def apply_stage(config: NodeConfig, plan: StagePlan) -> None:
    """Fetch, verify and put in place. Killed anywhere, the next call goes on from there."""
    paths = StatePaths(config.state_dir)
    _remove_leftovers(paths.staging(plan.ref), None if plan.complete else plan.staging)
    if plan.complete:
        return
    tree, partial = plan.staging / "tree", plan.staging / "partial"
    for directory in (tree, partial):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (config.state_dir / "staging").chmod(0o700)
    depot = Depot(config.depot.url, config.depot.ca_file, config.depot.credentials_file)
    progress = Progress(plan.fetch_bytes)
    sources = plan.link_from | {file.sha256: tree / file.path for file in plan.done}
    for file in plan.manifest.files:
        target = tree / file.path
        if file in plan.done:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        source = sources.get(file.sha256)
        if source is None or not _link(source, target, file):
            fetch(depot, plan.ref, file, partial / file.sha256, progress)
            _place(partial / file.sha256, target)
            sources[file.sha256] = target
    _finish(paths, plan, tree)
    record(paths.journal, "staged", release=str(plan.ref), bytes=plan.manifest.total_bytes)


def _staging(paths: StatePaths, ref: ReleaseRef, signed: SignedManifest) -> Path:
    """Return where this very manifest is put together: what another one left is not a part of it."""
    return paths.staging(ref) / hashlib.sha256(signed.manifest).hexdigest()[:_STAGING_DIGITS]


def _remove_leftovers(staging: Path, keep: Path | None) -> None:
    """Remove what earlier calls left there of other manifests under the same name; their bytes are others."""
    for entry in staging.iterdir() if staging.is_dir() else ():
        if entry != keep:
            remove_tree(entry)
    if keep is None:
        remove_tree(staging)


def _damaged(
    config: NodeConfig, ref: ReleaseRef, signed: SignedManifest, read_every_byte: bool
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
    if present.manifest_bytes != signed.manifest:
        raise EdgeError(
            f"{ref} in the depot is another than the {ref} on this node",
            "releases never change: publish it under a new version",
        )
    wrong = damaged_files(present) if read_every_byte else misshapen_files(present)
    for path in wrong:
        log(f"{ref}: {path} is damaged and will be fetched again")
    return wrong


def _plan_missing(
    paths: StatePaths, ref: ReleaseRef, manifest: Manifest, signed: SignedManifest, damaged: list[str]
) -> StagePlan:
    staging = _staging(paths, ref, signed)
    done = tuple(file for file in manifest.files if _is_done(staging / "tree" / file.path, file))
    # what is damaged here may be the same bytes on disk under the name of another release
    wanted = {file.sha256 for file in manifest.files if file not in done and file.path not in damaged}
    # if only the manifest or its signature is damaged here, the files may still be those of the depot's
    sources = [(release.directory, release.manifest) for release in staged_releases(paths)]
    link_from = {
        file.sha256: directory / file.path
        for directory, listing in [*sources, (paths.release(ref), manifest)]
        for file in listing.files
        if file.sha256 in wanted and (directory / file.path).is_file()
    }
    here = {file.sha256 for file in done} | link_from.keys()
    fetch = {file.sha256: file.size for file in manifest.files if file.sha256 not in here}
    fetch_bytes = sum(size - partial_size(staging / "partial" / sha256) for sha256, size in fetch.items())
    free = free_bytes(paths.root)
    if fetch_bytes + DISK_RESERVE_BYTES > free:
        raise EdgeError(
            f"no space on {paths.root}: {size_text(fetch_bytes)} for {ref} and "
            f"{size_text(DISK_RESERVE_BYTES)} in reserve needed, {size_text(free)} free",
            "free space there",
        )
    return StagePlan(ref, manifest, signed, False, done, link_from, fetch_bytes, staging)


def _is_done(path: Path, file: ReleaseFile) -> bool:
    """Files get their name in the tree only after their digest was checked and they were synced."""
    return path.is_file() and path.stat().st_size == file.size


def _link(source: Path, target: Path, file: ReleaseFile) -> bool:
    """Share the bytes of another release, if they are still the right ones."""
    if sha256_of(source) != file.sha256:
        log(f"{source} is damaged: fetching {file.path} instead")
        return False
    target.unlink(missing_ok=True)
    os.link(source, target)
    return True


def _place(partial: Path, target: Path) -> None:
    partial.rename(target)
    sync_directory(target.parent)


def _finish(paths: StatePaths, plan: StagePlan, tree: Path) -> None:
    """Give the tree its modes and its final name."""
    write_atomic(tree / MANIFEST_FILE, plan.signed.manifest, 0o444)
    write_atomic(tree / SIGNATURE_FILE, plan.signed.signature, 0o444)
    for directory, _, _ in os.walk(tree):
        if Path(directory) != tree:
            Path(directory).chmod(0o555)
    sync_tree(tree)
    final, staging = paths.release(plan.ref), paths.staging(plan.ref)
    final.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if final.exists():
        replaced = plan.staging / "replaced"
        remove_tree(replaced)
        final.chmod(0o755)
        final.rename(replaced)
    tree.rename(final)
    final.chmod(0o555)
    for changed in (final.parent, paths.releases, paths.root):
        sync_directory(changed)
    remove_tree(staging)
    if not any(staging.parent.iterdir()):
        staging.parent.rmdir()
