"""Which blobs an image is made of. Standard library only: the node tool reads it too.

OCI image-spec 1.1 (image-index.md, manifest.md) and Docker's image manifest version 2, schema 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ovms_edge.errors import EdgeError

_REFERENCE = re.compile(r"(?P<registry>[^/]+)/(?P<repository>[^@:]+)@(?P<digest>sha256:[0-9a-f]{64})")
_REMEDY = "push the image again, or name another"


@dataclass(frozen=True)
class ImageRef:
    """``REGISTRY/REPOSITORY@sha256:...``."""

    registry: str
    repository: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> ImageRef:
        """Read a reference by digest; raises EdgeError if it is none."""
        match = _REFERENCE.fullmatch(text)
        if not match:
            raise EdgeError(
                f"not an image by its digest: {text!r}", "write HOST:PORT/REPOSITORY@sha256: and 64 digits"
            )
        return cls(match["registry"], match["repository"], match["digest"])

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}@{self.digest}"


@dataclass(frozen=True)
class ImageBlob:
    """``sha256`` in hexadecimal, ``size`` in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Image:
    """What a host of linux/amd64 runs; ``documents``: the manifests on the way to it, by digest."""

    config: ImageBlob
    layers: tuple[ImageBlob, ...]
    documents: dict[str, bytes]

    @property
    def blobs(self) -> tuple[ImageBlob, ...]:
        """All blobs, each once."""
        return tuple(dict.fromkeys((self.config, *self.layers)))


def read_image(digest: str, manifest: Callable[[str], bytes]) -> Image:
    """Return the image ``digest``; ``manifest`` returns a manifest or index by its digest, verified.

    Raises EdgeError if it is none for linux/amd64.
    """
    documents = {digest: manifest(digest)}
    try:
        document = json.loads(documents[digest])
        if "manifests" in document:
            chosen = next(str(entry["digest"]) for entry in document["manifests"] if _fits(entry))
            documents[chosen] = manifest(chosen)
            document = json.loads(documents[chosen])
        layers = tuple(_blob(entry) for entry in document["layers"])
        return Image(_blob(document["config"]), layers, documents)
    except StopIteration:
        raise EdgeError(f"image {digest} is not for linux/amd64", _REMEDY) from None
    except (ValueError, KeyError, TypeError) as error:
        raise EdgeError(f"image {digest} has no manifest of an image: {error}", _REMEDY) from error


def _fits(entry: dict[str, Any]) -> bool:
    platform = entry.get("platform", {})
    return (platform.get("os"), platform.get("architecture")) == ("linux", "amd64")


def _blob(entry: dict[str, Any]) -> ImageBlob:
    algorithm, _, digest = str(entry["digest"]).partition(":")
    if algorithm != "sha256" or len(digest) != 64 or not isinstance(entry["size"], int):
        raise ValueError(f"descriptor {entry!r:.80}")
    return ImageBlob(digest, entry["size"])
