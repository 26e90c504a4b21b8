"""Write a release, and an image if wanted, into a directory that a store without a depot stages from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.image_layout import ImageRef, read_image
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.depot import Depot as Source
from ovms_edge.node.whole_blob import fetch_blob, has_blob
from ovms_edge.oci import LAYOUT_FILE, LAYOUT_INDEX, OCI_INDEX, OCI_MANIFEST, REF_NAME, STATUS_TAG
from ovms_edge.release.artifact import sha256_digest
from ovms_edge.release.depot import Depot
from ovms_edge.release.durable import sync, write_atomically
from ovms_edge.release.progress import Progress


@dataclass(frozen=True)
class Exported:
    """``fetched_bytes`` of ``total_bytes`` were not there before."""

    directory: Path
    total_bytes: int
    fetched_bytes: int


def export_bundle(
    ref: ReleaseRef, depot: Depot, source: Source, output: Path, image: ImageRef | None, verbose: bool = False
) -> Exported:
    """Write the OCI image layout ``output``; what is there and whole stays. Its index comes last.

    ``depot`` and ``source`` are the same registry, for writing and for reading. Raises EdgeError.
    """
    data = depot.get_manifest(ref)
    if data is None:
        raise EdgeError(f"depot {depot.url} has no {ref}", "check name and version, or publish it")
    named = {f"models/{ref.name}:{ref.version}": data}
    status = depot.get_manifest(ReleaseRef(ref.name, STATUS_TAG))
    if status is not None:
        named[f"models/{ref.name}:{STATUS_TAG}"] = status
    documents = list(named.values())
    blobs = [(f"models/{ref.name}", *blob) for document in named.values() for blob in _blobs(document)]
    if image is not None:
        found = read_image(image.digest, lambda digest: source.image_manifest(image.repository, digest))
        documents += found.documents.values()
        named[str(image)] = found.documents[image.digest]
        blobs += [(image.repository, blob.sha256, blob.size) for blob in found.blobs]
    try:
        return _write(output, named, documents, list(dict.fromkeys(blobs)), source, verbose)
    except OSError as error:
        raise EdgeError(
            f"bundle not written to {output}: {error.strerror}: {error.filename or output}",
            "free space or mend the permissions there; run again, it goes on where it was",
        ) from error


def _write(
    output: Path,
    named: dict[str, bytes],
    documents: list[bytes],
    blobs: list[tuple[str, str, int]],
    source: Source,
    verbose: bool,
) -> Exported:
    directory = output / "blobs" / "sha256"
    directory.mkdir(parents=True, exist_ok=True)
    total = sum(size for _, _, size in blobs)
    progress = Progress("export", total, verbose)
    fetched = 0
    for repository, sha256, size in blobs:
        progress.start(sha256[:12])
        path = directory / sha256
        if has_blob(path, sha256, size):
            progress.advance(size)
            progress.finish("exists")
            continue
        _fetch(source, repository, sha256, size, path, progress.advance)
        fetched += size
        progress.finish(f"{size} bytes")
    progress.close()
    for document in documents:
        write_atomically(directory / sha256_digest(document).partition(":")[2], document)
    write_atomically(output / LAYOUT_FILE, b'{"imageLayoutVersion":"1.0.0"}')
    sync(directory)
    write_atomically(output / LAYOUT_INDEX, _index(output, named))
    return Exported(output, total, fetched)


def _fetch(
    source: Source, repository: str, sha256: str, size: int, path: Path, advance: Callable[[int], None]
) -> None:
    if size:
        fetch_blob(source, repository, sha256, size, path, advance)
    else:
        path.write_bytes(b"")


def _index(output: Path, named: dict[str, bytes]) -> bytes:
    """Return the index of all that the bundle holds: what it had before stays."""
    entries = {}
    try:
        present = json.loads((output / LAYOUT_INDEX).read_bytes())["manifests"]
        entries = {entry["annotations"][REF_NAME]: entry for entry in present}
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError) as error:
        raise EdgeError(
            f"{output / LAYOUT_INDEX} is not readable: {error}", "remove it, or choose another directory"
        ) from error
    for name, data in named.items():
        entries[name] = {
            "mediaType": json.loads(data).get("mediaType", OCI_MANIFEST),
            "digest": sha256_digest(data),
            "size": len(data),
            "annotations": {REF_NAME: name},
        }
    manifests = [entries[name] for name in sorted(entries)]
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
    return json.dumps(document, indent=1).encode() + b"\n"


def _blobs(manifest: bytes) -> list[tuple[str, int]]:
    document = json.loads(manifest)
    entries = [*document["layers"], document["config"]]
    return [(str(entry["digest"]).partition(":")[2], int(entry["size"])) for entry in entries]
