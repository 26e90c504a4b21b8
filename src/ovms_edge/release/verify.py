"""Check a release to its last byte: signature, status, every file and every further blob."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import SIGNATURE_FILE, Manifest, ReleaseRef
from ovms_edge.node.config import DepotServer, NodeConfig, TransferSettings, Trust
from ovms_edge.node.depot import Depot
from ovms_edge.node.pace import Unhurried
from ovms_edge.node.signature import verify_signature
from ovms_edge.node.source import LARGEST_WANTED_BYTES, Data, Source, Wanted
from ovms_edge.release.progress import Progress
from ovms_edge.release.sign import read_manifest_bytes
from ovms_edge.status_list import StatusList

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Verified:
    """All of it is as it was signed by ``signer``; ``status`` is None for a directory."""

    manifest: Manifest
    signer: str
    bytes_read: int
    status: StatusList | None


def verify_directory(directory: Path, trust: Trust, verbose: bool = False) -> Verified:
    """Read all of a built release; raises EdgeError naming the first thing that is wrong."""
    data = read_manifest_bytes(directory)
    manifest = Manifest.from_bytes(data)
    try:
        signature = (directory / SIGNATURE_FILE).read_bytes()
    except OSError as error:
        raise EdgeError(f"{directory} is not signed", "sign it with ovms-edge release sign") from error
    signer = verify_signature(manifest.ref, data, signature, trust)
    progress = Progress("verify", manifest.total_bytes, verbose)
    count = 0
    for path, sha256 in _digests(manifest):
        progress.start(path)
        digest = hashlib.sha256()
        try:
            with (directory / path).open("rb") as stream:
                while block := stream.read(_BLOCK_BYTES):
                    digest.update(block)
                    count += len(block)
                    progress.advance(len(block))
        except OSError as error:
            raise EdgeError(
                f"{directory / path} cannot be read: {error.strerror}", "build the release again"
            ) from error
        if digest.hexdigest() != sha256:
            raise EdgeError(f"{directory / path} is damaged", "build the release again")
        progress.finish("good")
    progress.close()
    return Verified(manifest, signer, count, None)


def verify_depot(ref: ReleaseRef, server: DepotServer, trust: Trust, verbose: bool = False) -> Verified:
    """Read all of a published release in bounded memory; raises EdgeError naming what is wrong."""
    nowhere = Path("/nonexistent")  # nothing of it is a node's but the connection and the trust
    one = TransferSettings(connections=1)  # so that runs come in their order
    source = Depot(NodeConfig(nowhere, nowhere, server, trust, transfer=one), Unhurried())
    signed = source.signed_manifest(ref)
    signer = verify_signature(ref, signed.data, signed.signature, trust)
    manifest = Manifest.from_bytes(signed.data)
    if manifest.ref != ref:
        raise EdgeError(f"the depot's {ref} holds {manifest.ref}", "publish it again")
    status = _status(source, ref, trust)
    sizes = {file.path: file.size for file in manifest.files}
    sizes |= {f".packed/{file.packed.sha256}": file.packed.size for file in manifest.files if file.packed}
    sizes |= {f".residuals/{residual.sha256}": residual.size for residual in manifest.residuals}
    repository = f"models/{ref.name}"
    progress = Progress("verify", sum(sizes.values()), verbose)
    count = 0
    for path, sha256 in _digests(manifest):
        progress.start(path)
        size = sizes.get(path)
        if size is None:
            size = len(source.small(repository, sha256))
        elif not _holds(source, repository, sha256, size, progress):
            raise EdgeError(f"{path} of {ref} in depot {server.url} is damaged", "publish the release again")
        count += size
        progress.finish("good")
    progress.close()
    return Verified(manifest, signer, count, status)


def _holds(source: Source, repository: str, sha256: str, size: int, progress: Progress) -> bool:
    digest = hashlib.sha256()

    def accept(data: Data) -> bool:
        digest.update(data)
        progress.advance(len(data))
        return True

    runs = range(0, size, LARGEST_WANTED_BYTES)
    wanted = [Wanted(sha256, at, min(LARGEST_WANTED_BYTES, size - at), accept) for at in runs]
    if wanted:
        source.fetch(repository, wanted)
    return digest.hexdigest() == sha256


def _digests(manifest: Manifest) -> Iterator[tuple[str, str]]:
    yield from ((file.path, file.sha256) for file in manifest.files)
    yield from manifest.further.items()


def _status(source: Depot, ref: ReleaseRef, trust: Trust) -> StatusList | None:
    signed = source.status_list(ref.name)
    if signed is None:
        return None
    verify_signature(f"the status list of {ref.name}", signed.data, signed.signature, trust)
    return StatusList.from_bytes(signed.data)
