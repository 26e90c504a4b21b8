"""Which files of a model directory make up a release, and which do not."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import MANIFEST_FILE, SIGNATURE_FILE

EXPORT_RECORD = "export.json"
GRAPH_FILE = "graph.pbtxt"

# Rendered on each node, about one host or one run of a tool, or a release's own.
EXCLUDED_FILES = {
    GRAPH_FILE: "OVMS: rendered on each node",
    "subconfig.json": "OVMS: rendered on each node",
    EXPORT_RECORD: "kept as the manifest's source",
    MANIFEST_FILE: "of another release",
    SIGNATURE_FILE: "of another release",
}
EXCLUDED_DIRECTORIES = {
    "__pycache__": "Python cache",
    "ov_cache": "OpenVINO cache",
    "model_cache": "OpenVINO cache",
}
# Compiled models: openvino 2025.4.1 src/inference/src/cache_manager.hpp (.blob), and of the GPU
# plugin src/plugins/intel_gpu/src/runtime/kernels_cache.cpp (.cl_cache).
EXCLUDED_SUFFIXES = {".blob": "OpenVINO cache", ".cl_cache": "OpenVINO cache", ".pyc": "Python cache"}


@dataclass(frozen=True)
class Content:
    """Paths relative to the model directory, sorted; ``excluded`` as path to why."""

    included: tuple[str, ...]
    excluded: dict[str, str]


def exclusion(path: Path, is_directory: bool) -> str | None:
    """Return why the entry is not part of a release, or None if it is."""
    if path.name.startswith("."):
        return "hidden"
    if is_directory:
        return EXCLUDED_DIRECTORIES.get(path.name)
    # Only at the top do these names have their meaning.
    top_level = EXCLUDED_FILES.get(path.name) if len(path.parts) == 1 else None
    return top_level or EXCLUDED_SUFFIXES.get(path.suffix)


def list_content(model: Path) -> Content:
    """Return what of ``model`` goes into a release.

    Links to files are followed (Hugging Face caches are made of them). Raises EdgeError if there is
    anything that a release cannot hold, such as a link to a directory or a broken one.
    """
    included: list[str] = []
    excluded: dict[str, str] = {}
    _collect(model, Path(), included, excluded)
    return Content(tuple(sorted(included)), excluded)


def _collect(model: Path, directory: Path, included: list[str], excluded: dict[str, str]) -> None:
    try:
        entries = sorted((model / directory).iterdir())
    except OSError as error:
        raise EdgeError(
            f"{model / directory} cannot be read: {error.strerror}", "mend its permissions"
        ) from error
    for entry in entries:
        path = directory / entry.name
        is_directory = entry.is_dir() and not entry.is_symlink()
        reason = exclusion(path, is_directory)
        if reason:
            excluded[path.as_posix()] = reason
        elif not entry.name.isprintable() or "\\" in entry.name:
            raise EdgeError(
                f"{str(entry)!r} has a name that a manifest cannot hold", "rename or remove the file"
            )
        elif is_directory:
            _collect(model, path, included, excluded)
        elif _is_file(entry):
            included.append(path.as_posix())
        else:
            raise EdgeError(
                f"{entry} is neither a file nor a directory nor a link to a file",
                "remove it from the model directory",
            )


def _is_file(entry: Path) -> bool:
    try:
        return stat.S_ISREG(entry.stat().st_mode)
    except OSError as error:
        raise EdgeError(f"{entry} cannot be read: {error.strerror}", "mend or remove it") from error
