"""A whole blob with no chunk index, fetched into a file: layers of images, blobs of bundles."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.node.files import sha256_of
from ovms_edge.node.output import log
from ovms_edge.node.partial import PartialFile
from ovms_edge.node.source import LARGEST_WANTED_BYTES, Data, Source, Wanted


def has_blob(path: Path, sha256: str, size: int) -> bool:
    """Whether ``path`` is that blob; reads all of it."""
    return path.is_file() and path.stat().st_size == size and sha256_of(path) == sha256


def fetch_blob(
    source: Source, repository: str, sha256: str, size: int, path: Path, wrote: Callable[[int], None]
) -> None:
    """Bring the blob to ``path``, durably, going on where an earlier call was cut off.

    Runs that are on the disk are taken as they are, since nothing describes them; all is verified at the
    end, and fetched once more if it is not right. Raises EdgeError.
    """
    part = path.with_name(f"{path.name}.part")
    for attempt in ("resumed", "anew"):
        with PartialFile.opened(part, size) as target:
            missing = [run for run in _runs(size) if not _written(target.descriptor, *run)]
            wrote(size - sum(length for _, length in missing))
            accept = partial(_accept, target, wrote)
            wanted = [Wanted(sha256, at, length, partial(accept, at)) for at, length in missing]
            if wanted:
                source.fetch(repository, wanted)
            if target.sha256() == sha256:
                target.finish()
                part.rename(path)
                return
        part.unlink()
        log(f"sha256:{sha256} {attempt} is not right")
    raise EdgeError(
        f"sha256:{sha256} of {repository} comes with other bytes than its digest says",
        "the source or the way to it is damaged: push the image or publish the release again",
    )


def _runs(size: int) -> list[tuple[int, int]]:
    return [(at, min(LARGEST_WANTED_BYTES, size - at)) for at in range(0, size, LARGEST_WANTED_BYTES)]


def _accept(target: PartialFile, wrote: Callable[[int], None], at: int, data: Data) -> bool:
    target.write(data, at)
    wrote(len(data))
    return True


def _written(descriptor: int, at: int, length: int) -> bool:
    """Whether there is no hole from ``at`` on."""
    try:
        return (
            os.lseek(descriptor, at, os.SEEK_DATA) == at
            and os.lseek(descriptor, at, os.SEEK_HOLE) >= at + length
        )
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return False
