"""Earlier releases that nodes may have, and the residuals against them that are worth their bytes."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.chunks import ChunkIndex
from ovms_edge.errors import EdgeError
from ovms_edge.manifest import (
    CHUNKS_DIRECTORY,
    MANIFEST_FILE,
    RESIDUALS_DIRECTORY,
    Manifest,
    ReleaseFile,
    ReleaseRef,
    Residual,
)
from ovms_edge.ovms.ir import Constant, read_constants
from ovms_edge.release.progress import Progress
from ovms_edge.release.residual import WORTH_SHARE, base_offsets, make_residual, matching_parts
from ovms_edge.release.text_edits import align, counterparts, edit_payload


@dataclass(frozen=True)
class Sibling:
    """An earlier release of the same model."""

    directory: Path
    manifest: Manifest

    def index(self, file: ReleaseFile) -> ChunkIndex:
        """Return the index of a file that has one; raises EdgeError."""
        path = self.directory / CHUNKS_DIRECTORY / str(file.chunk_index)
        try:
            return ChunkIndex.from_bytes(path.read_bytes(), file.size)
        except OSError as error:
            raise EdgeError(f"{path} cannot be read: {error.strerror}", "build that release again") from error


def last_releases(parent: Path, ref: ReleaseRef, count: int) -> list[Sibling]:
    """Return the last ``count`` releases in ``parent`` but ``ref``, newest first."""
    found = []
    for path in parent.glob(f"*/{MANIFEST_FILE}"):
        if path.parent.name in (ref.version, ".partial"):
            continue
        try:
            found.append(read_sibling(path.parent))
        except EdgeError as error:
            sys.stderr.write(f"note: no residual against {path.parent}: {error.reason}\n")
    found.sort(key=lambda sibling: (sibling.manifest.created, sibling.manifest.version), reverse=True)
    return found[:count]


def read_sibling(directory: Path) -> Sibling:
    """Return the release in ``directory``; raises EdgeError if there is none."""
    path = directory / MANIFEST_FILE
    try:
        return Sibling(directory, Manifest.from_bytes(path.read_bytes()))
    except OSError as error:
        raise EdgeError(
            f"{directory} is no release: {path.name}: {error.strerror}",
            "name the directory that `ovms-edge release build` wrote",
        ) from error


def make_residuals(
    root: Path, files: Sequence[ReleaseFile], siblings: Iterable[Sibling], verbose: bool
) -> tuple[Residual, ...]:
    """Write the residuals of the release in ``root`` that are worth it, and return them.

    Weights of an IR have them, whose tensors are matched by name and size, and text that is packed.
    """
    work = list(_pairs(root, files, siblings))
    (root / RESIDUALS_DIRECTORY).mkdir()
    progress = Progress("residual", sum(new.size for new, _, _ in work), verbose)
    found: dict[tuple[str, str], Residual] = {}
    for new, sibling, old in work:
        progress.start(f"{new.path} against {sibling.manifest.version}")
        if (new.path, old.sha256) not in found:
            residual = _make(root, new, sibling, old)
            if residual:
                found[new.path, old.sha256] = residual
        progress.advance(new.size)
        kept = found.get((new.path, old.sha256))
        progress.finish(f"{kept.size} bytes" if kept else "not worth it")
    progress.close()
    return tuple(found.values())


def _pairs(
    root: Path, files: Sequence[ReleaseFile], siblings: Iterable[Sibling]
) -> Iterator[tuple[ReleaseFile, Sibling, ReleaseFile]]:
    for sibling in siblings:
        earlier = {file.path: file for file in sibling.manifest.files}
        for new in files:
            old = earlier.get(new.path)
            weights = new.path.endswith(".bin") and _ir_of(root / new.path).is_file()
            indexed = old and new.chunk_index and old.chunk_index
            if (weights or new.packed) and old and indexed and old.sha256 != new.sha256:
                yield new, sibling, old


def _make(root: Path, new: ReleaseFile, sibling: Sibling, old: ReleaseFile) -> Residual | None:
    path, base = root / new.path, sibling.directory / old.path
    data = (root / CHUNKS_DIRECTORY / str(new.chunk_index)).read_bytes()
    index, old_index = ChunkIndex.from_bytes(data, new.size), sibling.index(old)
    target = root / RESIDUALS_DIRECTORY / ".new"
    if new.packed:
        offsets = counterparts(index.chunks, align(path.read_bytes(), base.read_bytes()))
        table = make_residual(path, index, base, old_index, offsets, target, edit_payload)
    else:
        parts = matching_parts(_constants(path), _constants(base))
        offsets = base_offsets(index.chunks, parts, old.size) if parts else {}
        table = make_residual(path, index, base, old_index, offsets, target)
    if table is None:
        return None
    if new.packed and target.stat().st_size > WORTH_SHARE * new.packed.size:
        target.unlink()
        return None
    with target.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    size = target.stat().st_size
    target.rename(target.with_name(sha256))
    return Residual(new.path, old.sha256, sha256, size, len(table), hashlib.sha256(table).hexdigest())


def _ir_of(weights: Path) -> Path:
    return weights.with_suffix(".xml")


def _constants(weights: Path) -> list[Constant]:
    try:
        return list(read_constants(_ir_of(weights)))
    except (EdgeError, ValueError, OSError):
        return []  # not the weights of an IR
