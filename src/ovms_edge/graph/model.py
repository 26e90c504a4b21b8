"""What a model directory says of what OVMS will make of it, read without OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ovms_edge.errors import EdgeError
from ovms_edge.ovms.ir import check_pair, required_models
from ovms_edge.ovms.memory import ModelMemory, model_memory

ModelKind = Literal["VLM", "LM"]

# The two files that make a directory a vision-language model for pipeline_type AUTO (model_server
# v2025.4.1 src/llm/servable_initializer.cpp; from v2026.3 a third makes it an omni model).
_VLM_FILES = ("openvino_text_embeddings_model.xml", "openvino_vision_embeddings_model.bin")
_OMNI_FILE = "openvino_talker_model.xml"


@dataclass(frozen=True)
class ModelFacts:
    """The model in ``directory``.

    ``kind`` is what OVMS takes it for; ``omni`` that OVMS 2026.3 takes it for more than that. ``broken`` says
    of each IR that is missing or damaged why it cannot be loaded; ``memory`` is None where that is not known,
    for the reason ``memory_unknown``. ``mounted_at`` is the directory's path where OVMS runs (in its
    container), None if that is not known.
    """

    directory: Path
    kind: ModelKind
    omni: bool
    has_gguf: bool
    broken: Mapping[str, str]
    memory: ModelMemory | None
    memory_unknown: str = ""
    mounted_at: PurePosixPath | None = None

    def decides(self, models_path: str) -> bool:
        """Return whether ``resolve`` knows where ``models_path`` leads: an absolute one needs the mount."""
        return self.mounted_at is not None or not PurePosixPath(models_path).is_absolute()

    def resolve(self, models_path: str) -> Path | None:
        """Return where ``models_path`` leads on this machine, None if not into ``directory``.

        A relative one starts at ``directory``; an absolute one is a path where OVMS runs.
        """
        path = PurePosixPath(models_path)
        if not path.is_absolute():
            return self.directory / path
        if self.mounted_at is None or not path.is_relative_to(self.mounted_at):
            return None
        return self.directory / path.relative_to(self.mounted_at)

    def at(self, models_path: str) -> ModelFacts | None:
        """Return what lies at ``models_path``, None if that is no directory here or not known."""
        if not self.decides(models_path):
            return None
        resolved = self.resolve(models_path)
        if resolved is None or not resolved.is_dir():
            return None
        if resolved.resolve() == self.directory.resolve():
            return self
        return read_model_facts(resolved)


def read_model_facts(directory: Path, mounted_at: str | None = None) -> ModelFacts:
    """Return what ``directory`` says; raises EdgeError if it is no directory.

    ``mounted_at``: where OVMS will see it, if absolute paths in a graph are to be checked.
    """
    if not directory.is_dir():
        raise EdgeError(f"no model directory {directory}", "name the directory that the export wrote")
    vlm = all((directory / name).exists() for name in _VLM_FILES)
    gguf = any(path.suffix.lower() == ".gguf" for path in directory.iterdir())
    memory, unknown = _memory(directory)
    return ModelFacts(
        directory=directory,
        kind="VLM" if vlm else "LM",
        omni=vlm and (directory / _OMNI_FILE).exists(),
        has_gguf=gguf,
        broken={} if gguf else _broken(directory),
        memory=memory,
        memory_unknown=unknown,
        mounted_at=PurePosixPath(mounted_at) if mounted_at else None,
    )


def holds_model(directory: Path) -> bool:
    """Return whether there is an OpenVINO IR in ``directory``."""
    return any(directory.glob("openvino_*.xml"))


def _broken(directory: Path) -> dict[str, str]:
    broken: dict[str, str] = {}
    for name in required_models(directory):
        try:
            check_pair(directory / f"{name}.xml")
        except EdgeError as error:
            broken[name] = error.reason
    return broken


def _memory(directory: Path) -> tuple[ModelMemory | None, str]:
    try:
        return model_memory(directory), ""
    except EdgeError as error:
        return None, error.reason
