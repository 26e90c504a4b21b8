"""Bring a release onto this node: complete and verified, or absent. Nothing that serves is touched."""

from __future__ import annotations

import os
from pathlib import Path

from ovms_edge.delta import FilePlan, plan_file
from ovms_edge.manifest import CHUNKS_DIRECTORY, MANIFEST_FILE, SIGNATURE_FILE
from ovms_edge.node.assemble import Progress, assemble
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.files import remove_tree, sha256_of, sync_directory, sync_tree, write_atomic
from ovms_edge.node.output import log
from ovms_edge.node.partial import present_chunks
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.source import Source
from ovms_edge.node.stage_plan import StagePlan
from ovms_edge.node.state import record


def apply_stage(config: NodeConfig, source: Source, plan: StagePlan, progress: Progress) -> None:
    """Fetch, verify and put in place. Killed anywhere, the next call goes on from there."""
    paths = StatePaths(config.state_dir)
    _remove_leftovers(paths.staging(plan.ref), None if plan.complete else plan.staging.root)
    if plan.complete:
        return
    tree = plan.staging.tree
    for directory in (tree / CHUNKS_DIRECTORY, plan.staging.root / "partial"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (config.state_dir / "staging").chmod(0o700)
    for sha256 in plan.manifest.chunk_indexes:
        write_atomic(tree / CHUNKS_DIRECTORY / sha256, plan.blobs.index_bytes(sha256), 0o444)
    for file_plan in plan.files:
        target = tree / file_plan.file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if file_plan.link and _link(file_plan.link, target, file_plan):
            progress.wrote(file_plan.file.size)
        else:
            _make(source, plan, file_plan, progress)
    progress.phase("verifying")
    _finish(paths, plan)
    record(paths.journal, "staged", release=str(plan.ref), bytes=plan.manifest.total_bytes)


def _remove_leftovers(staging: Path, keep: Path | None) -> None:
    """Remove what earlier calls left there of other manifests under the same name; their bytes are others."""
    for entry in staging.iterdir() if staging.is_dir() else ():
        if entry != keep:
            remove_tree(entry)
    if keep is None:
        remove_tree(staging)


def _link(source: Path, target: Path, plan: FilePlan) -> bool:
    """Share the bytes of another release, if they are still the right ones."""
    if source == target:
        return True  # verified and made durable by an earlier call before it got this name
    if sha256_of(source) != plan.file.sha256:
        log(f"{source} is damaged: {plan.file.path} is made anew")
        return False
    target.unlink(missing_ok=True)
    os.link(source, target)
    return True


def _make(source: Source, plan: StagePlan, file_plan: FilePlan, progress: Progress) -> None:
    file, part = file_plan.file, plan.staging.part(file_plan.file)
    if file_plan.link:  # what it was to be linked to is damaged; most chunks in there still are not
        index = plan.blobs.index(file)
        have = present_chunks(part, index.chunks) if index else frozenset()
        file_plan = plan_file(file, index, have, plan.local)
    assemble(file_plan, part, source, plan.ref, progress)
    target = plan.staging.tree / file.path
    part.rename(target)
    sync_directory(target.parent)


def _finish(paths: StatePaths, plan: StagePlan) -> None:
    """Give the tree its modes and its final name."""
    tree = plan.staging.tree
    write_atomic(tree / MANIFEST_FILE, plan.signed.data, 0o444)
    write_atomic(tree / SIGNATURE_FILE, plan.signed.signature, 0o444)
    for directory, _, _ in os.walk(tree):
        if Path(directory) != tree:
            Path(directory).chmod(0o555)
    sync_tree(tree)
    final, staging = paths.release(plan.ref), paths.staging(plan.ref)
    final.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if final.exists():
        replaced = plan.staging.root / "replaced"
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
