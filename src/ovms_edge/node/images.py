"""Docker images that come as releases do: paced, resumed, verified, from a depot or a bundle.

Docker's own pull knows no rate, no schedule and no resumption inside a layer, so it is not used ahead of an
activation. What the engine takes is an archive (``docker load``), which is streamed to it.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.image_layout import Image, ImageRef, read_image
from ovms_edge.node.docker import Docker
from ovms_edge.node.files import remove_tree, write_atomic
from ovms_edge.node.output import log
from ovms_edge.node.partial import allocated_bytes
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.source import Source
from ovms_edge.node.whole_blob import fetch_blob, has_blob

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class ImagePlan:
    """``image`` is None if the engine has it; ``fetch_bytes`` is what is still to come."""

    ref: ImageRef
    image: Image | None
    fetch_bytes: int

    @property
    def size(self) -> int:
        """Bytes of all its blobs, 0 if the engine has it."""
        return sum(blob.size for blob in self.image.blobs) if self.image else 0

    @property
    def document(self) -> dict[str, object]:
        """The ``image`` of a stage's plan."""
        return {"image": str(self.ref), "present": self.image is None, "fetch_bytes": self.fetch_bytes}


def local_image(docker: Docker, paths: StatePaths, reference: str) -> str | None:
    """Return what the engine knows the image ``reference`` by; None if it does not have it.

    An image that was loaded and not pulled has no repository digest: ``images.json`` says which it is.
    """
    if docker.image(reference) is not None:
        return reference
    known = _loaded(paths).get(reference.rpartition("@")[2])
    return known if known and docker.image(known) is not None else None


def plan_image(docker: Docker, paths: StatePaths, source: Source, reference: str) -> ImagePlan:
    """Return what having the image takes; raises EdgeError."""
    ref = ImageRef.parse(reference)
    if local_image(docker, paths, reference):
        return ImagePlan(ref, None, 0)
    image = read_image(ref.digest, lambda digest: source.image_manifest(ref.repository, digest))
    directory = paths.image_blobs(ref.digest)
    missing = sum(
        max(blob.size - allocated_bytes(directory / f"{blob.sha256}.part"), 0)
        for blob in image.blobs
        if not (directory / blob.sha256).is_file()
    )
    return ImagePlan(ref, image, missing)


def apply_image(
    docker: Docker, paths: StatePaths, source: Source, plan: ImagePlan, wrote: Callable[[int], None]
) -> None:
    """Fetch the blobs and load them into the engine. Killed anywhere, the next call goes on from there."""
    if plan.image is None:
        return
    directory = paths.image_blobs(plan.ref.digest)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for blob in plan.image.blobs:
        path = directory / blob.sha256
        if has_blob(path, blob.sha256, blob.size):
            wrote(blob.size)
        else:
            fetch_blob(source, plan.ref.repository, blob.sha256, blob.size, path, wrote)
    log(f"loading {plan.ref}")
    names = docker.load(_archive(directory, plan.image))
    wanted = (f"sha256:{plan.image.config.sha256}", plan.ref.digest, *names)
    loaded = next((name for name in wanted if docker.image(name) is not None), None)
    if loaded is None:
        raise EdgeError(f"Docker loaded {plan.ref} and does not know it", "see journalctl -u docker")
    document = {**_loaded(paths), plan.ref.digest: loaded}
    write_atomic(paths.images, json.dumps(document, indent=1).encode() + b"\n", 0o644)
    remove_tree(directory)


def _loaded(paths: StatePaths) -> dict[str, str]:
    try:
        document = json.loads(paths.images.read_bytes())
        return {str(digest): str(name) for digest, name in document.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        log(f"{paths.images} is damaged and left out: {error}")
        return {}


def _archive(directory: Path, image: Image) -> Iterator[bytes]:
    """Yield a tar as ``docker save`` writes it; layers stay compressed (moby, image/tarexport/load.go)."""
    config = f"{image.config.sha256}.json"
    layers = [f"{layer.sha256}/layer.tar" for layer in image.layers]
    manifest = json.dumps([{"Config": config, "RepoTags": None, "Layers": layers}]).encode()
    members = {config: image.config} | dict(zip(layers, image.layers, strict=True))
    yield _header("manifest.json", len(manifest))
    yield manifest + bytes(-len(manifest) % tarfile.BLOCKSIZE)
    for name, blob in members.items():
        yield _header(name, blob.size)
        with (directory / blob.sha256).open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                yield block
        yield bytes(-blob.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member.tobuf()
