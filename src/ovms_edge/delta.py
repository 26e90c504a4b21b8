"""Which bytes of a release have to be fetched, given what lies here already.

Pure: ``ovms-node stage`` does what a plan says, ``ovms-edge release diff`` predicts with the same plan. Every
chunk comes by the way that puts the fewest bytes on the wire: it is there, it is copied, it is restored from
an earlier one by a residual, or it is fetched; a text file also as a whole, compressed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from ovms_edge.chunks import Chunk, ChunkIndex
from ovms_edge.manifest import Manifest, ReleaseFile, Residual
from ovms_edge.residual import Entry


class Place(NamedTuple):
    """Where bytes lie on this host."""

    path: Path
    offset: int


@dataclass(frozen=True)
class Have:
    """The chunk is in the partial file at all ``offsets`` already."""

    chunk: Chunk
    offsets: tuple[int, ...]
    wire_bytes = 0


@dataclass(frozen=True)
class Copy:
    """The chunk goes to ``offsets``, from ``source``."""

    chunk: Chunk
    offsets: tuple[int, ...]
    source: Place
    wire_bytes = 0


@dataclass(frozen=True)
class Restore:
    """The chunk goes to ``offsets``: the bytes at ``base`` and the difference that is fetched.

    The difference is ``wire_bytes`` at ``payload_offset`` of the blob ``residual``.
    """

    chunk: Chunk
    offsets: tuple[int, ...]
    base: Place
    residual: str
    payload_offset: int
    wire_bytes: int


@dataclass(frozen=True)
class Fetch:
    """The chunk goes to ``offsets``, as it lies in the source."""

    chunk: Chunk
    offsets: tuple[int, ...]

    @property
    def wire_bytes(self) -> int:
        """The whole chunk, once."""
        return self.chunk.size


Step = Have | Copy | Restore | Fetch
_SUMS = {Have: "copied", Copy: "copied", Restore: "restored", Fetch: "fetched"}
# The dearest way that has any bytes gives a file its `how`.
_WAYS = (("fetched", "fetch"), ("packed", "packed"), ("restored", "residual"), ("copied", "copy"))


@dataclass(frozen=True)
class FilePlan:
    """How one file comes about: ``link`` to the same file, ``packed`` as a whole, or ``steps``."""

    file: ReleaseFile
    link: Path | None = None
    packed: bool = False
    steps: tuple[Step, ...] = ()

    @property
    def fetch_bytes(self) -> int:
        """Bytes on the wire, tables of residuals not counted."""
        if self.packed and self.file.packed:
            return self.file.packed.size
        return sum(step.wire_bytes for step in self.steps)

    @property
    def sums(self) -> dict[str, int]:
        """The file's own bytes by the way they come: linked, copied, restored, packed, fetched."""
        sums = dict.fromkeys(("linked", "copied", "restored", "packed", "fetched"), 0)
        if self.link:
            sums["linked"] = self.file.size
        elif self.packed:
            sums["packed"] = self.file.size
        for step in self.steps:
            # the second place of a chunk that is fetched or restored is a copy of the first
            sums[_SUMS[type(step)]] += step.chunk.size
            sums["copied"] += step.chunk.size * (len(step.offsets) - 1)
        return sums

    @property
    def how(self) -> str:
        """``link``, ``copy``, ``residual``, ``packed`` or ``fetch``."""
        sums = self.sums
        return next((way for kind, way in _WAYS if sums[kind]), "link" if self.link else "copy")


@dataclass
class Local:
    """What lies on this host: files by their sha256, chunks by their digest."""

    files: dict[str, Path] = field(default_factory=dict)
    chunks: dict[bytes, Place] = field(default_factory=dict)

    def add(self, file: ReleaseFile, index: ChunkIndex | None, path: Path, *, whole: bool = True) -> None:
        """Enter ``file``, which lies at ``path``; not ``whole``: some of its chunks may be damaged there."""
        if whole:
            self.files.setdefault(file.sha256, path)
        for chunk in chunks_of(file, index):
            self.chunks.setdefault(chunk.digest, Place(path, chunk.offset))


@dataclass(frozen=True)
class Base:
    """A residual whose base lies at ``path``."""

    residual: Residual
    entries: tuple[Entry, ...]
    path: Path


class Described(Protocol):
    """The small blobs of a release: what a plan is made from."""

    def index(self, file: ReleaseFile) -> ChunkIndex | None:
        """Return the file's chunk index, None if it has none."""

    def table(self, residual: Residual) -> tuple[Entry, ...]:
        """Return the table of a residual."""


def chunks_of(file: ReleaseFile, index: ChunkIndex | None) -> tuple[Chunk, ...]:
    """Return the chunks of a file: one without an index is a single chunk, an empty one has none."""
    if index is not None:
        return index.chunks
    return (Chunk(0, file.size, bytes.fromhex(file.sha256)),) if file.size else ()


def plan_release(
    manifest: Manifest,
    described: Described,
    local: Local,
    place_of: Callable[[ReleaseFile], Path],
    have: Callable[[ReleaseFile, Sequence[Chunk]], frozenset[int]] = lambda file, chunks: frozenset(),  # noqa: ARG005
) -> Iterator[FilePlan]:
    """Yield the plan of every file, in the order in which they have to be made.

    ``place_of`` says where a file will lie, so that later ones can be made from it; ``have``, at which
    offsets its chunks lie in its partial file. ``local`` grows.
    """
    for file in manifest.files:
        index = described.index(file)
        path = place_of(file)
        if file.sha256 in local.files:
            yield FilePlan(file, link=local.files[file.sha256])
        else:
            chunks = chunks_of(file, index)
            present = have(file, chunks)
            bases = list(_bases(manifest, file, described, local, _missing(chunks, present, local)))
            yield plan_file(file, index, present, local, bases)
        local.add(file, index, path)


def plan_file(
    file: ReleaseFile,
    index: ChunkIndex | None,
    have: frozenset[int],
    local: Local,
    bases: Sequence[Base] = (),
) -> FilePlan:
    """Return the cheapest way to ``file`` without a link to another."""
    chunks = chunks_of(file, index)
    restored = _restorable(chunks, bases)
    offsets: dict[bytes, list[int]] = {}
    for chunk in chunks:
        offsets.setdefault(chunk.digest, []).append(chunk.offset)
    steps: list[Step] = []
    for number, chunk in enumerate(chunks):
        if chunk.offset != offsets[chunk.digest][0]:
            continue
        places = tuple(offsets[chunk.digest])
        steps.append(
            Have(chunk, places)
            if have.issuperset(places)
            else _step(chunk, places, local, restored.get(number))
        )
    plan = FilePlan(file, steps=tuple(steps))
    return FilePlan(file, packed=True) if file.packed and file.packed.size < plan.fetch_bytes else plan


def _step(chunk: Chunk, wanted: tuple[int, ...], local: Local, restored: tuple[Base, Entry] | None) -> Step:
    if chunk.digest in local.chunks:
        return Copy(chunk, wanted, local.chunks[chunk.digest])
    if restored:
        base, entry = restored
        place = Place(base.path, entry.base_offset)
        return Restore(chunk, wanted, place, base.residual.sha256, entry.offset, entry.length)
    return Fetch(chunk, wanted)


def _bases(
    manifest: Manifest, file: ReleaseFile, described: Described, local: Local, missing: int
) -> Iterator[Base]:
    """Yield the residuals of ``file`` that can be used here and cost less to look into than is missing."""
    for residual in manifest.residuals:
        path = local.files.get(residual.base)
        if residual.path == file.path and path and residual.table_bytes < missing:
            yield Base(residual, described.table(residual), path)


def _missing(chunks: Iterable[Chunk], have: frozenset[int], local: Local) -> int:
    sizes = {c.digest: c.size for c in chunks if c.offset not in have and c.digest not in local.chunks}
    return sum(sizes.values())


def _restorable(chunks: Sequence[Chunk], bases: Sequence[Base]) -> dict[int, tuple[Base, Entry]]:
    """Return for each chunk, by its number, the residual that makes it with the fewest bytes.

    A residual describes the first of several equal chunks.
    """
    found: dict[int, tuple[Base, Entry]] = {}
    for base in bases:
        for entry in base.entries:
            fits = entry.chunk < len(chunks) and entry.length < chunks[entry.chunk].size
            if fits and (entry.chunk not in found or entry.length < found[entry.chunk][1].length):
                found[entry.chunk] = (base, entry)
    return found
