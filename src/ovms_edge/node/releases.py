"""Releases that lie complete on this node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import CHUNKS_DIRECTORY, MANIFEST_FILE, SIGNATURE_FILE, Manifest, ReleaseRef
from ovms_edge.node.config import Trust
from ovms_edge.node.files import sha256_of
from ovms_edge.node.output import log
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.signature import verify_signature


@dataclass(frozen=True)
class StagedRelease:
    """A release directory and its manifest."""

    directory: Path
    manifest: Manifest
    manifest_bytes: bytes


def staged_releases(paths: StatePaths) -> Iterator[StagedRelease]:
    """Yield every release on this node, by name and version, but those whose manifest is damaged."""
    for manifest_file in sorted(paths.releases.glob(f"*/*/{MANIFEST_FILE}")):
        try:
            release = _read(manifest_file)
        except EdgeError as error:
            log(f"left out: {error}")
        else:
            yield release


def staged_release(paths: StatePaths, ref: ReleaseRef) -> StagedRelease | None:
    """Return one release, None if it is not on this node; raises EdgeError if its manifest is damaged."""
    manifest_file = paths.release(ref) / MANIFEST_FILE
    return _read(manifest_file) if manifest_file.exists() else None


def misshapen_files(release: StagedRelease) -> list[str]:
    """Return the paths of files that are missing or have another size than the manifest says."""
    wrong = []
    for file in release.manifest.files:
        path = release.directory / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            wrong.append(file.path)
    others = (SIGNATURE_FILE, *_index_paths(release))
    return wrong + [path for path in others if not (release.directory / path).is_file()]


def damaged_files(release: StagedRelease) -> list[str]:
    """Return the paths of files whose bytes are not those of the manifest. Reads every byte."""
    wrong = misshapen_files(release)
    digests = {file.path: file.sha256 for file in release.manifest.files} | _index_paths(release)
    return wrong + [
        path
        for path, digest in digests.items()
        if path not in wrong and sha256_of(release.directory / path) != digest
    ]


def _index_paths(release: StagedRelease) -> dict[str, str]:
    """Return the paths of the chunk indexes, and what digest each has."""
    return {f"{CHUNKS_DIRECTORY}/{sha256}": sha256 for sha256 in release.manifest.chunk_indexes}


def verify_release(release: StagedRelease, trust: Trust) -> None:
    """Check signature and every digest; raises EdgeError naming the first file that is wrong."""
    ref = release.manifest.ref
    damaged = damaged_files(release)
    if damaged:
        raise EdgeError(
            f"{ref} on this node is damaged: {damaged[0]}"
            + (f" and {len(damaged) - 1} more" if damaged[1:] else ""),
            f"fetch what is damaged again with ovms-node stage {ref} --verify",
        )
    verify_manifest(release, trust)


def verify_manifest(release: StagedRelease, trust: Trust) -> str:
    """Return who signed the manifest; raises EdgeError if nobody whom ``trust`` names did."""
    signature_file = release.directory / SIGNATURE_FILE
    try:
        signature = signature_file.read_bytes()
    except OSError as error:
        raise EdgeError(
            f"{signature_file} cannot be read: {error.strerror}",
            f"fetch it again with ovms-node stage {release.manifest.ref}",
        ) from error
    return verify_signature(release.manifest.ref, release.manifest_bytes, signature, trust)


def _read(manifest_file: Path) -> StagedRelease:
    directory = manifest_file.parent
    try:
        data = manifest_file.read_bytes()
        return StagedRelease(directory, Manifest.from_bytes(data), data)
    except (EdgeError, OSError) as error:
        cause = error.reason if isinstance(error, EdgeError) else error.strerror
        raise EdgeError(
            f"{manifest_file} is damaged: {cause}",
            f"fetch it again with ovms-node stage {directory.parent.name}@{directory.name}",
        ) from error
