"""The lab's model and its release, known by what they are made from."""

from __future__ import annotations

import hashlib

from .images import tree_digest
from .settings import Settings

SERVABLE = "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8"
RELEASE_NAME = "qwen2.5-vl-tiny-int8"


def source_key(settings: Settings) -> str:
    """Digest of what makes the model."""
    return _digest(settings, "lab/tiny_model.py", "constraints.txt")


def export_key(settings: Settings) -> str:
    """Digest of what makes the export."""
    exporter = _digest(settings, "ovms-service/export_model.py", "src/ovms_edge/export", "src/ovms_edge/ovms")
    return _joined(source_key(settings), exporter)


def release_key(settings: Settings) -> str:
    """Digest of what makes the release."""
    return _joined(
        export_key(settings), _digest(settings, "src/ovms_edge/release", "src/ovms_edge/manifest.py")
    )


def release_version(settings: Settings) -> str:
    """A release never changes, so other sources make another version."""
    return f"1.0.0-{release_key(settings)[:8]}"


def release_ref(settings: Settings) -> str:
    """``name@version`` of what the stores serve."""
    return f"{RELEASE_NAME}@{release_version(settings)}"


def _digest(settings: Settings, *names: str) -> str:
    return tree_digest(*(settings.project / name for name in names))


def _joined(*digests: str) -> str:
    return hashlib.sha256("\0".join(digests).encode()).hexdigest()
