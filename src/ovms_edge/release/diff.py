"""What a node that has release A fetches for release B, and which tensors differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ovms_edge.chunks import Chunk, ChunkIndex
from ovms_edge.delta import FilePlan, Local, plan_release
from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseFile, Residual
from ovms_edge.ovms.ir import Constant, read_constants
from ovms_edge.release.described import Release
from ovms_edge.release.inspect import human_bytes
from ovms_edge.residual import Entry

TENSORS_SHOWN = 10


@dataclass(frozen=True)
class Difference:
    """``fetch_bytes`` is all that a node takes from the depot's blobs: files, residuals, descriptions.

    ``tensors``: by the path of the weights, those that lie in a chunk which A does not have.
    """

    before: str
    after: str
    files: tuple[FilePlan, ...]
    removed: tuple[str, ...]
    tensors: dict[str, tuple[str, ...]]
    description_bytes: int

    @property
    def fetch_bytes(self) -> int:
        """Bytes of bodies: what ``ovms-node stage`` fetches within 1 %."""
        return self.description_bytes + sum(plan.fetch_bytes for plan in self.files)


class _Counted:
    """Counts the small blobs that a node with A has to fetch to know what B is made of."""

    def __init__(self, release: Release, here: set[str]) -> None:
        self._release, self._here = release, here
        self.fetched_bytes = 0

    def index(self, file: ReleaseFile) -> ChunkIndex | None:
        index = self._release.index(file)
        if index is not None and index.sha256 not in self._here:
            self._here.add(index.sha256)
            self.fetched_bytes += len(index.to_bytes())
        return index

    def table(self, residual: Residual) -> tuple[Entry, ...]:
        self.fetched_bytes += residual.table_bytes
        return self._release.table(residual)


def compare(before: Release, after: Release) -> Difference:
    """Return what changes from ``before`` to ``after``; raises EdgeError."""
    local = Local()
    for file in before.manifest.files:
        local.add(file, before.index(file), Path(file.path))
    known = set(local.chunks)
    counted = _Counted(after, set(before.manifest.chunk_indexes))
    plans = tuple(plan_release(after.manifest, counted, local, lambda file: Path("new") / file.path))
    gone = {file.path for file in before.manifest.files} - {file.path for file in after.manifest.files}
    return Difference(
        before=str(before.manifest.ref),
        after=str(after.manifest.ref),
        files=plans,
        removed=tuple(sorted(gone)),
        tensors=dict(_tensors(after, plans, known)),
        description_bytes=counted.fetched_bytes + after.overhead_bytes,
    )


def to_json(found: Difference) -> str:
    """Return the document of ``release diff --json``."""
    document = {
        "before": found.before,
        "after": found.after,
        "fetch_bytes": found.fetch_bytes,
        "description_bytes": found.description_bytes,
        "bytes": sum(plan.file.size for plan in found.files),
        "files": [
            {
                "path": plan.file.path,
                "size": plan.file.size,
                "how": plan.how,
                "fetch_bytes": plan.fetch_bytes,
                **plan.sums,
            }
            for plan in found.files
        ],
        "removed": list(found.removed),
        "tensors": {path: list(names) for path, names in found.tensors.items()},
    }
    return json.dumps(document, indent=2) + "\n"


def to_text(found: Difference) -> str:
    """Return aligned lines for people."""
    width = max(len(plan.file.path) for plan in found.files)
    lines = [f"{'file':<{width}}  {'size':>9}  {'how':<8}  {'fetched':>9}"]
    lines += [
        f"{plan.file.path:<{width}}  {human_bytes(plan.file.size):>9}  {plan.how:<8}  "
        f"{human_bytes(plan.fetch_bytes):>9}"
        for plan in found.files
    ]
    lines += [f"{path:<{width}}  {'-':>9}  removed" for path in found.removed]
    for path, names in found.tensors.items():
        shown = ", ".join(names[:TENSORS_SHOWN])
        more = f" and {len(names) - TENSORS_SHOWN} more" if len(names) > TENSORS_SHOWN else ""
        lines.append(f"{path}: {len(names)} tensors in changed chunks: {shown}{more}")
    total = human_bytes(sum(plan.file.size for plan in found.files))
    fetch, description = human_bytes(found.fetch_bytes), human_bytes(found.description_bytes)
    lines.append(
        f"{found.before} -> {found.after}: {fetch} of {total} to fetch, {description} of it descriptions"
    )
    return "\n".join(lines) + "\n"


def _tensors(
    after: Release, plans: tuple[FilePlan, ...], known: set[bytes]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    files = {file.path: file for file in after.manifest.files}
    for plan in plans:
        ir = files.get(str(PurePosixPath(plan.file.path).with_suffix(".xml")))
        index = after.index(plan.file) if plan.file.path.endswith(".bin") else None
        if plan.link is None and ir is not None and index is not None:
            changed = [chunk for chunk in index.chunks if chunk.digest not in known]
            yield plan.file.path, tuple(_inside(_constants(after, ir), changed))


def _constants(release: Release, ir: ReleaseFile) -> list[Constant]:
    path = release.text(ir)
    try:
        return list(read_constants(path)) if path else []
    except EdgeError:
        return []  # not the .xml of an IR


def _inside(constants: list[Constant], chunks: list[Chunk]) -> Iterator[str]:
    at = 0
    for constant in sorted(constants, key=lambda constant: constant.offset):
        while at < len(chunks) and chunks[at].offset + chunks[at].size <= constant.offset:
            at += 1
        if at < len(chunks) and chunks[at].offset < constant.offset + constant.size:
            yield constant.name
