"""A release as an OCI artifact: which blobs, and the manifest that ties them together. No I/O.

Layout after CNCF ModelPack (github.com/modelpack/model-spec, docs/spec.md and docs/config.md, v1) and the
OCI image manifest (github.com/opencontainers/image-spec, manifest.md, v1.1). The same release gives the
same bytes, whoever builds them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import (
    CHUNKS_DIRECTORY,
    MANIFEST_FILE,
    PACKED_DIRECTORY,
    RESIDUALS_DIRECTORY,
    SIGNATURE_FILE,
    Manifest,
)
from ovms_edge.oci import (
    CHUNK_INDEX,
    OCI_MANIFEST,
    PACKED,
    RELEASE_MANIFEST,
    RELEASE_SIGNATURE,
    RESIDUAL,
)

ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
MODEL_CONFIG = "application/vnd.cncf.model.config.v1+json"
WEIGHT = "application/vnd.cncf.model.weight.v1.raw"
DOCUMENT = "application/vnd.cncf.model.doc.v1.raw"
WEIGHT_CONFIG = "application/vnd.cncf.model.weight.config.v1.raw"
FILEPATH = "org.cncf.model.filepath"
_FURTHER = {CHUNKS_DIRECTORY: CHUNK_INDEX, PACKED_DIRECTORY: PACKED, RESIDUALS_DIRECTORY: RESIDUAL}
TITLE = "org.opencontainers.image.title"  # by this, ordinary tools (oras pull) name the files they fetch


@dataclass(frozen=True)
class Blob:
    """Content in a registry: ``digest`` as ``sha256:HEX``, ``size`` in bytes."""

    media_type: str
    digest: str
    size: int
    path: str | None = None

    def descriptor(self) -> dict[str, Any]:
        """Return the OCI descriptor; a layer's names the file it is."""
        entry: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.path is not None:
            entry["annotations"] = {FILEPATH: self.path, TITLE: self.path}
        return entry


@dataclass(frozen=True)
class Artifact:
    """``data`` is the OCI manifest; ``small`` holds the blobs that lie in no file as they are sent."""

    data: bytes
    config: Blob
    layers: tuple[Blob, ...]
    small: dict[str, bytes]

    @property
    def digest(self) -> str:
        """The artifact's own, as ``sha256:HEX``: what a pull by digest asks for."""
        return sha256_digest(self.data)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """All that the OCI manifest refers to."""
        return (*self.layers, self.config)

    @property
    def total_bytes(self) -> int:
        """The size of all blobs together."""
        return sum(blob.size for blob in self.blobs)


def sha256_digest(data: bytes) -> str:
    """Return ``sha256:HEX`` of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def further_blob(path: str, sha256: str, size: int) -> Blob:
    """Return the blob of a release that lies beside its files, at ``path``."""
    return Blob(_FURTHER[PurePosixPath(path).parts[0]], f"sha256:{sha256}", size, path)


def build_artifact(manifest: Manifest, signature: bytes, further: Sequence[Blob] = ()) -> Artifact:
    """Return the artifact of a signed release; ``further`` are its blobs beside the files."""
    manifest_data = manifest.to_bytes()
    layers = (
        *(
            Blob(media_type(file.path), f"sha256:{file.sha256}", file.size, file.path)
            for file in manifest.files
        ),
        *further,
        _blob(RELEASE_MANIFEST, manifest_data, MANIFEST_FILE),
        _blob(RELEASE_SIGNATURE, signature, SIGNATURE_FILE),
    )
    config_data = _canonical(_model_config(manifest, layers))
    config = _blob(MODEL_CONFIG, config_data)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
        "annotations": {
            "org.opencontainers.image.created": manifest.created,
            "org.opencontainers.image.title": manifest.name,
            "org.opencontainers.image.version": manifest.version,
        },
    }
    small = {sha256_digest(data): data for data in (manifest_data, signature, config_data)}
    return Artifact(_canonical(document), config, layers, small)


def media_type(path: str) -> str:
    """Return the media type of a model file by its name."""
    name = PurePosixPath(path).name
    if name.endswith(".bin"):
        return WEIGHT
    if name.startswith(("README", "LICENSE")):
        return DOCUMENT
    return WEIGHT_CONFIG


def read_layers(data: bytes) -> dict[str, Blob]:
    """Return the layers of an OCI manifest by path; raises EdgeError if it holds no release."""
    try:
        document = json.loads(data)
        if document.get("artifactType") != ARTIFACT_TYPE:
            raise ValueError(f"artifactType is {document.get('artifactType')!r}")
        layers = [
            Blob(entry["mediaType"], entry["digest"], entry["size"], entry["annotations"][FILEPATH])
            for entry in document["layers"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EdgeError(
            f"the depot's artifact is no release: {error}", "check the name, or publish the release again"
        ) from error
    return {str(layer.path): layer for layer in layers}


def _blob(kind: str, data: bytes, path: str | None = None) -> Blob:
    return Blob(kind, sha256_digest(data), len(data), path)


def _model_config(manifest: Manifest, layers: tuple[Blob, ...]) -> dict[str, Any]:
    descriptor = {
        "createdAt": manifest.created,
        "name": manifest.name,
        "version": manifest.version,
        "title": manifest.source.get("model"),
        "revision": manifest.source.get("revision"),
    }
    config = {"format": "openvino", "quantization": manifest.source.get("weight_format")}
    return {
        "descriptor": _texts(descriptor),
        "config": _texts(config),
        "modelfs": {"type": "layers", "diffIds": [layer.digest for layer in layers]},
    }


def _texts(fields: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if isinstance(value, str) and value}


def _canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
