"""The model that is exported: a local directory, or an id on the Hugging Face hub."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class SourceModel:
    """``name`` is a hub id, or the name of ``directory``, whose path is nobody else's business."""

    name: str
    directory: Path | None = None

    @property
    def argument(self) -> str:
        """What ``optimum-cli --model`` is given."""
        return str(self.directory) if self.directory else self.name

    def default_model_name(self, weight_format: str) -> str:
        """Return the servable name that OpenVINO's own exports on the hub would have."""
        return f"{self.name}-ov-{weight_format}"

    def size_bytes(self) -> int | None:
        """Return the size of a local source; None for one on the hub."""
        if self.directory is None:
            return None
        return sum(path.stat().st_size for path in _files(self.directory))

    def revision(self) -> str | None:
        """Return what identifies the source's content; None for a hub id that was never downloaded.

        For a local directory a digest of all its files, ``sha256:...``; for a hub id the commit that the
        Hugging Face cache holds.
        """
        if self.directory is None:
            return _cached_commit(self.name)
        listing = hashlib.sha256()
        for path in _files(self.directory):
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            listing.update(f"{digest}  {path.relative_to(self.directory).as_posix()}\n".encode())
        return f"sha256:{listing.hexdigest()}"


def find_source(source_model: str) -> SourceModel:
    """Return the model that ``--source_model`` names. Raises EdgeError if it cannot be one."""
    directory = Path(source_model)
    if directory.is_dir():
        if not (directory / "config.json").is_file():
            raise EdgeError(
                f"{directory} holds no config.json: not a Hugging Face model", "name the model's directory"
            )
        return SourceModel(directory.resolve().name, directory.resolve())
    if _HUB_ID.fullmatch(source_model):
        return SourceModel(source_model)
    raise EdgeError(
        f"source model {source_model!r} is no directory and no Hugging Face id",
        "give the path of a downloaded model, or an id such as Qwen/Qwen2.5-VL-7B-Instruct",
    )


def _files(directory: Path) -> list[Path]:
    """All files but hidden ones: download tools keep their notes there."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return sorted(
        path for path in found if not any(p.startswith(".") for p in path.relative_to(directory).parts)
    )


def _cached_commit(hub_id: str) -> str | None:
    # huggingface_hub's layout: docs "Understand caching", refs/main names the snapshot in use
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    reference = cache / f"models--{hub_id.replace('/', '--')}" / "refs" / "main"
    return reference.read_text().strip() if reference.is_file() else None
