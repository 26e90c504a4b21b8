"""The model that is exported: a local directory, or an id on the Hugging Face hub."""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.export.architecture import Kind, model_kind
from ovms_edge.export.progress import Progress
from ovms_edge.export.weights import Weights, hub_weights, local_weights
from ovms_edge.ovms.json_file import read_object

if TYPE_CHECKING:
    from ovms_edge.export.hub import HubModel

MODEL_CONFIG = "config.json"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_IR_OF_KIND: dict[Kind, str] = {"VLM": "openvino_language_model.xml", "LM": "openvino_model.xml"}


class HubUnreachableError(EdgeError):
    """Nobody can say what the hub has: no network, or HF_HUB_OFFLINE."""


@dataclass(frozen=True)
class SourceModel:
    """What ``--source_model`` names: a hub id, or ``directory``, whose path is nobody else's business."""

    name: str
    directory: Path | None = None

    def default_model_name(self, weight_format: str | None) -> str:
        """Return the servable's name; None: the source is OpenVINO IR and keeps its own."""
        return f"{self.name}-ov-{weight_format}" if weight_format else self.name

    @property
    def looks_converted(self) -> bool:
        """Whether it is OpenVINO IR, as far as can be known without asking the hub."""
        if self.directory is None:
            return self.name.startswith("OpenVINO/")
        return is_ir(path.name for path in self.directory.iterdir())


@dataclass(frozen=True)
class Source:
    """A source as it was found. ``files`` are paths and bytes; ``hub`` is set until it is downloaded.

    ``commit`` is the hub's; a local directory is identified by its content.
    """

    model: SourceModel
    config: dict[str, Any]
    files: Mapping[str, int]
    weights: Weights
    commit: str | None = None
    hub: HubModel | None = None

    @property
    def converted(self) -> bool:
        """Whether it is OpenVINO IR already."""
        return is_ir(self.files)

    @property
    def kind(self) -> Kind:
        """Whether it is a language or a vision-language model. Raises EdgeError if it is neither."""
        if self.converted:
            return "VLM" if _IR_OF_KIND["VLM"] in self.files else "LM"
        return model_kind(self.config, self.model.name)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    @property
    def directory(self) -> Path:
        """Where the files are."""
        if self.model.directory is None:
            raise ValueError(f"{self.model.name} is not downloaded")
        return self.model.directory

    def fetched(self, progress: Progress) -> Source:
        """Return the source with its files on this machine."""
        if self.hub is None:
            return self
        directory: Path = _hub_client().download(self.hub, progress)
        return replace(self, model=replace(self.model, directory=directory), hub=None)

    def revision(self) -> str:
        """Return what identifies the content: the hub's commit, or ``sha256:`` and a digest of all."""
        return self.commit or content_digest(self.directory)


def find_source(source_model: str) -> SourceModel:
    """Return what ``--source_model`` names, without asking the hub. Raises EdgeError if it cannot be one."""
    directory = Path(source_model)
    if directory.is_dir():
        if not (directory / MODEL_CONFIG).is_file():
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


def examine(model: SourceModel, revision: str | None = None) -> Source:
    """Look at the source; of one on the hub at what the hub says of it, nothing is downloaded.

    Raises EdgeError if it is not there or incomplete, HubUnreachableError if nobody can say.
    """
    if model.directory is not None:
        if revision is not None:
            raise UsageError(
                f"--revision {revision} was given for the local directory {model.directory}",
                "leave it out: a directory is what it is",
            )
        return _examine_directory(model, model.directory)
    client = _hub_client()
    if snapshot := client.cached(model.name, revision):
        found = _examine_directory(replace(model, directory=snapshot), snapshot)
        return replace(found, commit=snapshot.name)
    hub: HubModel = client.look_up(model.name, revision)
    weights = hub_weights(hub.files, hub.parameters)
    return Source(model, hub.config, hub.files, weights, hub.commit, hub)


def _examine_directory(model: SourceModel, directory: Path) -> Source:
    files = {path.relative_to(directory).as_posix(): path.stat().st_size for path in _files(directory)}
    return Source(
        model,
        read_object(directory / MODEL_CONFIG, "download the model again"),
        files,
        local_weights(directory),
    )


def _hub_client() -> ModuleType:
    """Load it where it is used: a local directory is exported without it, and takes no seconds for it."""
    try:
        return importlib.import_module("ovms_edge.export.hub")
    except ModuleNotFoundError as error:
        raise EdgeError(
            f"a model on the hub needs the package {error.name}, which {sys.executable} has not",
            f"run {sys.executable} -m pip install -r export_requirements.txt, or name a local directory",
        ) from error


def is_ir(names: Iterable[str]) -> bool:
    """Return whether file names are those of OpenVINO IR that GenAI can load."""
    return bool(set(_IR_OF_KIND.values()).intersection(names))


def content_digest(directory: Path) -> str:
    """Return ``sha256:`` and the digest of the list of all files' digests; reads every byte."""
    listing = hashlib.sha256()
    for path in _files(directory):
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        listing.update(f"{digest}  {path.relative_to(directory).as_posix()}\n".encode())
    return f"sha256:{listing.hexdigest()}"


def _files(directory: Path) -> list[Path]:
    """All files but hidden ones: download tools keep their notes there."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return sorted(
        path for path in found if not any(p.startswith(".") for p in path.relative_to(directory).parts)
    )
