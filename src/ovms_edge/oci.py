"""What publisher and node agree on about a depot. Standard library only: the node tool reads it too."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ovms_edge.errors import UsageError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
RELEASE_MANIFEST = "application/vnd.ovms-edge.release.manifest.v1+json"
RELEASE_SIGNATURE = "application/vnd.ovms-edge.release.signature.v1"
CHUNK_INDEX = "application/vnd.ovms-edge.release.chunks.v1"
PACKED = "application/vnd.ovms-edge.release.packed.v1+xz"
RESIDUAL = "application/vnd.ovms-edge.release.residual.v1"
STATUS_LIST = "application/vnd.ovms-edge.release.status.v1+json"
# OCI image-spec 1.1, image-layout.md and annotations.md.
LAYOUT_FILE = "oci-layout"
LAYOUT_INDEX = "index.json"
REF_NAME = "org.opencontainers.image.ref.name"
STATUS_TAG = "status"  # of the artifact that holds a model's status list; no version of a release

_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")


@dataclass(frozen=True)
class Credentials:
    """A user of one registry. The password never shows in a repr."""

    user: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def is_loopback(url: str) -> bool:
    """Whether what is sent to ``url`` stays on this machine."""
    return _LOOPBACK.fullmatch(urlsplit(url).hostname or "") is not None


def checked_depot_url(url: str, plain_http: bool = False) -> str:
    """Return ``SCHEME://HOST:PORT``; raises UsageError for anything else.

    Without ``plain_http``, HTTP is for this machine only: it would send the registry's password in clear.
    """
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise UsageError("the depot's URL holds a user or password", "put them in a credentials file")
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise UsageError(f"not a depot URL: {url!r}", "write https://HOST:PORT")
    if parts.scheme == "http" and not plain_http and not is_loopback(url):
        raise UsageError(
            f"depot {parts.netloc} has no TLS", "write https://HOST:PORT; http is for this machine only"
        )
    return f"{parts.scheme}://{parts.netloc}"
