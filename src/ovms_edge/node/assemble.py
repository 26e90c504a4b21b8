"""Put one file of a release together, as its plan says: verified chunk by chunk, and once as a whole."""

from __future__ import annotations

import lzma
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from ovms_edge.delta import Copy, Fetch, FilePlan, Have, Place, Restore
from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseFile, ReleaseRef
from ovms_edge.node.output import log
from ovms_edge.node.partial import PartialFile
from ovms_edge.node.source import Data, Source, Wanted, WrongBytesError
from ovms_edge.residual import restore

_PIECE_BYTES = 1 << 20
# xz -6 needs 8 MiB and a little to unpack; what asks for more was not packed by ovms-edge.
_UNPACK_MEMORY_BYTES = 16 << 20


class Progress(Protocol):
    """Who is told how far it is."""

    def wrote(self, size: int) -> None:
        """Count ``size`` bytes more of the release that are in place."""

    def phase(self, state: str) -> None:
        """Say what is done now: ``fetching`` or ``verifying``."""


def assemble(plan: FilePlan, path: Path, source: Source, ref: ReleaseRef, progress: Progress) -> None:
    """Bring ``path`` to the whole file of ``plan``, of the release ``ref`` and no link: verified, durable.

    Raises EdgeError and OSError; what is verified stays in ``path`` for the next call.
    """
    file = plan.file
    with PartialFile.opened(path, file.size) as target:
        progress.phase("fetching")
        try:
            _fill(plan, target, source, f"models/{ref.name}", progress)
        except WrongBytesError as error:
            raise EdgeError(f"{file.path} of {ref}: {error.reason}", error.remedy) from error
        progress.phase("verifying")
        if target.sha256() != file.sha256:
            path.unlink()
            raise EdgeError(
                f"{file.path} of {ref}, put together from verified parts, does not have the sha256 of the "
                "manifest",
                "the release was built wrong, or this host's memory or disk fails: build it again",
            )
        target.finish()


def _fill(plan: FilePlan, target: PartialFile, source: Source, repository: str, progress: Progress) -> None:
    file = plan.file
    if plan.packed and file.packed:
        _unpack(file, source.small(repository, file.packed.sha256), target)
        progress.wrote(file.size)
    else:
        _put_steps(plan, target, source, repository, progress)


def _put_steps(
    plan: FilePlan, target: PartialFile, source: Source, repository: str, progress: Progress
) -> None:
    """Take what lies here first, so that what turns out to be damaged is fetched with the rest."""
    steps = plan.steps
    progress.wrote(sum(step.chunk.size * len(step.offsets) for step in steps if isinstance(step, Have)))
    fetches = [step for step in steps if isinstance(step, Fetch)]
    failed: list[Fetch] = []

    def put(step: Copy | Restore | Fetch, data: Data) -> bool:
        good = target.put(step.chunk, step.offsets, data)
        if good:
            progress.wrote(step.chunk.size * len(step.offsets))
        return good

    with _readers() as read:
        for step in steps:
            if isinstance(step, Copy) and not put(step, read(step.source, step.chunk.size)):
                log(f"{step.source.path} is damaged at {step.source.offset}: fetched instead")
                fetches.append(Fetch(step.chunk, step.offsets))

        def put_restored(step: Restore, payload: Data) -> bool:
            """Whether base or difference is damaged cannot be told apart: the chunk is fetched then."""
            try:
                good = put(step, restore(payload, read(step.base, step.chunk.size)))
            except EdgeError:
                good = False
            if not good:
                log(f"{step.base.path} is damaged at {step.base.offset}: {plan.file.path} fetched there")
                failed.append(Fetch(step.chunk, step.offsets))
            return True

        restores = [
            Wanted(step.residual, step.payload_offset, step.wire_bytes, partial(put_restored, step))
            for step in steps
            if isinstance(step, Restore)
        ]
        _fetch(source, repository, [*restores, *_wanted(plan.file, fetches, put)])
    _fetch(source, repository, list(_wanted(plan.file, failed, put)))


def _fetch(source: Source, repository: str, wanted: list[Wanted]) -> None:
    if wanted:
        source.fetch(repository, wanted)


def _wanted(
    file: ReleaseFile, steps: Iterable[Fetch], put: Callable[[Fetch, Data], bool]
) -> Iterator[Wanted]:
    for step in sorted(steps, key=lambda step: step.chunk.offset):
        yield Wanted(file.sha256, step.chunk.offset, step.chunk.size, partial(put, step))


def _unpack(file: ReleaseFile, data: bytes, target: PartialFile) -> None:
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_UNPACK_MEMORY_BYTES)
    offset = 0
    try:
        while not unpacker.eof and offset <= file.size:
            piece = unpacker.decompress(data, _PIECE_BYTES)
            if not piece and unpacker.needs_input:
                break
            target.write(piece, offset)
            offset, data = offset + len(piece), b""
    except lzma.LZMAError as error:
        raise _packed_wrong(file, str(error)) from error
    if offset != file.size or not unpacker.eof:
        raise _packed_wrong(file, f"{offset} bytes come out, the file has {file.size}")


def _packed_wrong(file: ReleaseFile, detail: str) -> EdgeError:
    return EdgeError(
        f"{file.path} cannot be unpacked: {detail}",
        "build and publish the release again with a matching ovms-edge",
    )


@contextmanager
def _readers() -> Iterator[Callable[[Place, int], bytes]]:
    """Yield a way to read from places, each file opened once; shorter than asked if it cannot be read."""
    descriptors: dict[Path, int] = {}

    def read(place: Place, size: int) -> bytes:
        try:
            descriptor = descriptors.get(place.path)
            if descriptor is None:
                descriptor = descriptors[place.path] = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(descriptor, size, place.offset)
        except OSError as error:
            log(f"{place.path} cannot be read at {place.offset}: {error.strerror}")
            return b""

    try:
        yield read
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)
