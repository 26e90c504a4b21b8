"""The release manifest: what a release is, file by file, under one signature.

Standard library only: the node tool reads it too. The format is described in docs/contracts.md.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ovms_edge.chunks import MAX_CHUNK_BYTES
from ovms_edge.errors import EdgeError

SCHEMA = "ovms-edge.release/1"
SIGNATURE_NAMESPACE = "ovms-edge-release"
MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.json.sig"
# Further blobs of a release, each by its sha256.
CHUNKS_DIRECTORY = ".chunks"
PACKED_DIRECTORY = ".packed"
RESIDUALS_DIRECTORY = ".residuals"
RESERVED = (MANIFEST_FILE, SIGNATURE_FILE, CHUNKS_DIRECTORY, PACKED_DIRECTORY, RESIDUALS_DIRECTORY)

_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")  # also a valid OCI repository component
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")  # also a valid OCI tag
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, order=True)
class ReleaseRef:
    """A release by name and version, written ``name@version``."""

    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> ReleaseRef:
        """Read ``name@version``; raises EdgeError if it is not one."""
        name, at, version = text.partition("@")
        if not at or not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
            raise EdgeError(
                f"not a release: {text!r}",
                "write name@version, such as qwen2.5-vl-7b-instruct-int8@1.0.0 (the name in lower case)",
            )
        return cls(name, version)

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Packed:
    """A whole file compressed with xz: a blob of ``size`` bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class ReleaseFile:
    """One file of a release. ``size`` in bytes.

    ``chunk_index`` is the sha256 of its chunk index, None for a file of one chunk. ``packed`` is there for
    text, where it is much smaller.
    """

    path: str
    size: int
    sha256: str
    chunk_index: str | None = None
    packed: Packed | None = None


@dataclass(frozen=True)
class Residual:
    """What makes chunks of the file ``path`` from an earlier file with the sha256 ``base``.

    A blob of ``size`` bytes (see ``ovms_edge.residual``). Its first ``table_bytes``, whose sha256 is
    ``table_sha256``, say where everything lies.
    """

    path: str
    base: str
    sha256: str
    size: int
    table_bytes: int
    table_sha256: str


@dataclass(frozen=True)
class Memory:
    """What serving needs.

    ``weights_bytes`` is the sum of the IR's .bin files, ``kv_bytes_per_token`` the KV cache of one token at
    fp16 (0: unknown).
    """

    weights_bytes: int
    kv_bytes_per_token: int


@dataclass(frozen=True)
class Manifest:
    """An immutable snapshot of one exported model. Nothing in it depends on a host."""

    name: str
    version: str
    created: str  # UTC, RFC 3339, whole seconds
    source: dict[str, Any]  # model, revision, weight_format, tools {package: version}
    ovms_versions: tuple[str, ...]  # OVMS versions it is meant for, such as 2025.4.1
    graph: dict[str, Any]  # defaults of LLMCalculatorOptions; a node overrides cache_size and others
    memory: Memory
    files: tuple[ReleaseFile, ...]
    golden: tuple[dict[str, Any], ...] = field(default=())
    residuals: tuple[Residual, ...] = field(default=())

    @property
    def ref(self) -> ReleaseRef:
        """Name and version."""
        return ReleaseRef(self.name, self.version)

    @property
    def chunk_indexes(self) -> tuple[str, ...]:
        """The sha256 of every chunk index, once and in the order of the files."""
        return tuple(dict.fromkeys(file.chunk_index for file in self.files if file.chunk_index))

    @property
    def further(self) -> dict[str, str]:
        """The sha256 of every blob beside the files, by its path in the release."""
        packed = (file.packed.sha256 for file in self.files if file.packed)
        kinds = (
            (CHUNKS_DIRECTORY, self.chunk_indexes),
            (PACKED_DIRECTORY, packed),
            (RESIDUALS_DIRECTORY, (residual.sha256 for residual in self.residuals)),
        )
        return {f"{directory}/{sha256}": sha256 for directory, found in kinds for sha256 in found}

    @property
    def total_bytes(self) -> int:
        """Size of all files together."""
        return sum(file.size for file in self.files)

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, UTF-8, one newline at the end. This is what is signed."""
        document = {"schema": SCHEMA, **asdict(self)}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read and check a manifest; raises EdgeError if anything in it is not as the contract says."""
        try:
            document = json.loads(data)
            schema = document.pop("schema")
            if schema != SCHEMA:
                raise ValueError(f"schema {schema!r}, this version reads {SCHEMA!r}")
            files = tuple(_file(entry) for entry in document.pop("files"))
            manifest = cls(
                memory=Memory(**document.pop("memory")),
                ovms_versions=tuple(_list(document.pop("ovms_versions"))),
                golden=tuple(_list(document.pop("golden"))),
                residuals=tuple(Residual(**entry) for entry in _list(document.pop("residuals"))),
                files=files,
                **document,
            )
            ReleaseRef.parse(f"{manifest.name}@{manifest.version}")
            _check_types(manifest)
            _check_files(files)
            _check_residuals(manifest)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise EdgeError(
                f"release manifest not readable: {error}",
                "build and publish the release again with a matching ovms-edge",
            ) from error
        return manifest


def _file(entry: dict[str, Any]) -> ReleaseFile:
    packed = entry.pop("packed")
    return ReleaseFile(packed=Packed(**packed) if packed else None, **entry)


def _check_types(manifest: Manifest) -> None:
    memory = manifest.memory
    kinds = (
        ("name, version, created", str, (manifest.name, manifest.version, manifest.created)),
        ("source, graph, golden", dict, (manifest.source, manifest.graph, *manifest.golden)),
        ("ovms_versions", str, manifest.ovms_versions),
    )
    for what, kind, values in kinds:
        if not all(isinstance(value, kind) for value in values):
            raise ValueError(f"{what}: not {'text' if kind is str else 'objects'}")
    if not _is_count(memory.weights_bytes) or not _is_count(memory.kv_bytes_per_token):
        raise ValueError("memory: not whole numbers of bytes")


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.60} is not a list")
    return value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_files(files: tuple[ReleaseFile, ...]) -> None:
    seen: set[str] = set()
    for file in sorted(files, key=lambda file: file.path):  # parents before children
        path = PurePosixPath(file.path)
        plain = path.parts and str(path) == file.path and file.path.isprintable() and "\\" not in file.path
        if path.is_absolute() or ".." in path.parts or not plain or file.path in seen:
            raise ValueError(f"file path {file.path!r} is not relative, plain and unique")
        if seen.intersection(str(parent) for parent in path.parents):
            raise ValueError(f"file path {file.path!r} lies below another file")
        if path.parts[0] in RESERVED:
            raise ValueError(f"file path {file.path!r} is reserved")
        _check_blob(file.path, file.sha256, file.size)
        if file.chunk_index is not None:
            _check_blob(f"chunk_index of {file.path}", file.chunk_index)
        elif file.size > MAX_CHUNK_BYTES:
            raise ValueError(f"file {file.path!r} of {file.size} bytes has no chunk_index")
        if file.packed:
            _check_blob(f"packed of {file.path}", file.packed.sha256, file.packed.size)
            if file.packed.size > MAX_CHUNK_BYTES:
                raise ValueError(f"packed of {file.path!r} is larger than {MAX_CHUNK_BYTES} bytes")
        seen.add(file.path)
    if not files:
        raise ValueError("no files")


def _check_residuals(manifest: Manifest) -> None:
    indexed = {file.path for file in manifest.files if file.chunk_index}
    for residual in manifest.residuals:
        if residual.path not in indexed:
            raise ValueError(f"residual of {residual.path!r}, which is no file with a chunk_index")
        what = f"residual of {residual.path}"
        _check_blob(what, residual.base)
        _check_blob(what, residual.sha256, residual.size)
        _check_blob(what, residual.table_sha256, residual.table_bytes)
        if residual.table_bytes > min(residual.size, MAX_CHUNK_BYTES):
            raise ValueError(f"{what} has a table larger than itself or {MAX_CHUNK_BYTES} bytes")


def _check_blob(what: str, sha256: object, size: object = 0) -> None:
    if not _is_count(size) or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError(f"size or sha256 of {what!r} is malformed")
