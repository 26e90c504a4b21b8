"""What a release is, read from a directory or a depot, as text or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, SIGNATURE_FILE, Manifest, ReleaseRef
from ovms_edge.release.artifact import read_layers
from ovms_edge.release.depot import Depot
from ovms_edge.release.sign import read_manifest_bytes
from ovms_edge.release.sshsig import Signer, find_principal, read_signature

# The manifest of a 7B model has some 25 files, 200 bytes each.
MAX_MANIFEST_BYTES = 16 << 20
MAX_SIGNATURE_BYTES = 1 << 20


@dataclass(frozen=True)
class Inspection:
    """What was found.

    ``signer`` is None for an unsigned release or one whose signature is not over this manifest;
    ``missing`` are files that are not there, or not in their size.
    """

    where: str
    manifest: Manifest
    signed: bool
    signer: Signer | None
    missing: tuple[str, ...]


def inspect_directory(directory: Path, allowed_signers: Path | None = None) -> Inspection:
    """Return what the release in ``directory`` is. Digests are not checked: publish and stage do that."""
    data = read_manifest_bytes(directory)
    manifest = Manifest.from_bytes(data)
    sizes: dict[str, int | None] = {file.path: file.size for file in manifest.files}
    missing = tuple(
        name
        for name, size in (sizes | dict.fromkeys(manifest.further)).items()
        if not (directory / name).is_file() or size not in (None, (directory / name).stat().st_size)
    )
    path = directory / SIGNATURE_FILE
    signature = path.read_bytes() if path.is_file() else None
    return _inspection(str(directory), data, signature, missing, allowed_signers)


def inspect_depot(ref: ReleaseRef, depot: Depot, allowed_signers: Path | None = None) -> Inspection:
    """Return what the depot has as ``ref``; fetches its manifest and signature only."""
    present = depot.get_manifest(ref)
    if present is None:
        raise EdgeError(f"depot {depot.url} has no {ref}", "check name and version, or publish it")
    layers = read_layers(present)
    if MANIFEST_FILE not in layers:
        raise EdgeError(f"{ref} in depot {depot.url} has no {MANIFEST_FILE}", "publish the release again")
    data = depot.get_blob(ref, layers[MANIFEST_FILE], MAX_MANIFEST_BYTES)
    manifest = Manifest.from_bytes(data)
    if manifest.ref != ref:
        raise EdgeError(
            f"depot {depot.url} has {manifest.ref} under the tag of {ref}", "publish the release again"
        )
    digests = {file.path: file.sha256 for file in manifest.files} | manifest.further
    missing = tuple(
        name
        for name, sha256 in digests.items()
        if name not in layers or layers[name].digest != f"sha256:{sha256}"
    )
    layer = layers.get(SIGNATURE_FILE)
    signature = depot.get_blob(ref, layer, MAX_SIGNATURE_BYTES) if layer else None
    return _inspection(depot.url, data, signature, missing, allowed_signers)


def _inspection(
    where: str, data: bytes, signature: bytes | None, missing: tuple[str, ...], allowed_signers: Path | None
) -> Inspection:
    signer = read_signature(data, signature) if signature else None
    if signer and signature and allowed_signers:
        signer = replace(signer, principal=find_principal(data, signature, allowed_signers))
    return Inspection(where, Manifest.from_bytes(data), signature is not None, signer, missing)


def to_json(found: Inspection, trust_checked: bool) -> str:
    """Return the manifest's fields, ``where``, ``total_bytes``, ``missing`` and ``signature`` as JSON."""
    document = {
        "release": str(found.manifest.ref),
        "where": found.where,
        **asdict(found.manifest),
        "total_bytes": found.manifest.total_bytes,
        "missing": list(found.missing),
        "signature": {
            "signed": found.signed,
            "valid": found.signer is not None,
            "key_type": found.signer.key_type if found.signer else None,
            "fingerprint": found.signer.fingerprint if found.signer else None,
            "principal": found.signer.principal if found.signer else None,
            "trust_checked": trust_checked,
        },
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def to_text(found: Inspection, trust_checked: bool) -> str:
    """Return aligned lines for people."""
    manifest = found.manifest
    source = manifest.source
    kv_bytes = manifest.memory.kv_bytes_per_token
    rows = [
        ("release", str(manifest.ref)),
        ("where", found.where),
        ("created", manifest.created),
        ("source", _source(source)),
        (
            "tools",
            ", ".join(f"{name} {version}" for name, version in _pairs(source.get("tools"))) or "not recorded",
        ),
        ("for OVMS", ", ".join(manifest.ovms_versions)),
        (
            "graph",
            ", ".join(f"{name}={value}" for name, value in sorted(manifest.graph.items())) or "defaults",
        ),
        ("weights", human_bytes(manifest.memory.weights_bytes)),
        ("KV cache", f"{human_bytes(kv_bytes)} a token at fp16" if kv_bytes else "not known"),
        ("files", f"{len(manifest.files)}, {human_bytes(manifest.total_bytes)} in all"),
        ("residuals", _residuals(manifest)),
        ("signature", _signature(found, trust_checked)),
    ]
    if found.missing:
        rows.append(("MISSING", ", ".join(found.missing)))
    width = max(len(label) for label, _ in rows)
    lines = [f"{label:<{width}}  {value}" for label, value in rows]
    size_width = max(len(human_bytes(file.size)) for file in manifest.files)
    lines += [
        f"  {human_bytes(file.size):>{size_width}}  {file.sha256[:12]}  {file.path}"
        for file in manifest.files
    ]
    return "\n".join(lines) + "\n"


def human_bytes(count: int) -> str:
    """Return ``count`` bytes in the largest binary unit below it."""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


def _source(source: dict[str, Any]) -> str:
    parts = [source.get("model"), source.get("revision"), source.get("weight_format")]
    return ", ".join(str(part) for part in parts if part) or "not recorded"


def _residuals(manifest: Manifest) -> str:
    if not manifest.residuals:
        return "none"
    size = sum(residual.size for residual in manifest.residuals)
    bases = len({residual.base for residual in manifest.residuals})
    return f"{human_bytes(size)}, against {bases} earlier {'file' if bases == 1 else 'files'}"


def _pairs(tools: Any) -> list[tuple[str, Any]]:
    return sorted(tools.items()) if isinstance(tools, dict) else []


def _signature(found: Inspection, trust_checked: bool) -> str:
    if not found.signed:
        return "unsigned"
    if found.signer is None:
        return "WRONG: not over this manifest"
    by = f"{found.signer.key_type} {found.signer.fingerprint}"
    if found.signer.principal:
        return f"{found.signer.principal} ({by})"
    return f"{by}, NOT in the allowed signers" if trust_checked else f"{by} (trust not checked)"
