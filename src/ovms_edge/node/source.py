"""Where the bytes of releases and images come from: a depot with its mirrors, or a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef

LARGEST_WANTED_BYTES = 4 << 20
# Valid during the call only: the memory behind it is used again.
Data: TypeAlias = "bytes | memoryview"


class GaveUpError(EdgeError):
    """No byte came for so long that the transfer ended; what is there stays, and can be gone on from."""


class WrongBytesError(EdgeError):
    """What came is not what was published."""


@dataclass(frozen=True)
class SignedDocument:
    """A document and its signature, as the source holds them; nothing checked yet."""

    data: bytes
    signature: bytes


@dataclass(frozen=True)
class Wanted:
    """``size`` bytes (at most ``LARGEST_WANTED_BYTES``) from ``offset`` on of the blob ``sha256``.

    ``accept`` puts them to use and says True, or False if they are not what was published. It is called from
    several threads, in no order, and what it raises ends the ``fetch``.
    """

    sha256: str
    offset: int
    size: int
    accept: Callable[[Data], bool] = field(compare=False, repr=False)


class Source(Protocol):
    """Every method raises EdgeError naming the source, the object and the cause.

    ``repository`` is ``models/NAME`` or that of an image.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """What plans call it: the URLs that are tried, in this order, or a directory."""

    def signed_manifest(self, ref: ReleaseRef) -> SignedDocument:
        """Return ``manifest.json`` of a release and its signature."""

    def status_list(self, name: str) -> SignedDocument | None:
        """Return the status list of the releases called ``name``; None if there is none."""

    def small(self, repository: str, sha256: str) -> bytes:
        """Return a whole blob of at most ``LARGEST_WANTED_BYTES``, verified."""

    def fetch(self, repository: str, wanted: Sequence[Wanted]) -> None:
        """Return when each of ``wanted`` was accepted, once; neighbours share a request.

        Raises GaveUpError if nothing comes for too long.
        """

    def image_manifest(self, repository: str, digest: str) -> bytes:
        """Return the manifest or index ``digest`` (``sha256:...``) of an image, verified."""
