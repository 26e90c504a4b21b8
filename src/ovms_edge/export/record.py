"""``export.json``: how a model directory came about, and what is in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.release.content import EXPORT_RECORD, GRAPH_FILE

# What decides the model itself. All other options are fields of graph.pbtxt, cheap to write anew.
_CONVERSION_OPTIONS = ("optimum", "adopted", "draft")
_REMEDY = "export the model again with --overwrite_models"


@dataclass(frozen=True)
class ExportRecord:
    """The source, the tools (package: version), the options, and each file's size (bytes) and digest.

    ``weight_format`` None: OpenVINO IR that does not say. Exporters before 2026-11 recorded no ``files``.
    """

    model: str
    revision: str | None
    weight_format: str | None
    tools: dict[str, str]
    options: dict[str, Any]
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_text(self) -> str:
        """Return the text of ``export.json``."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    def conversion_differences(self, earlier: ExportRecord) -> list[str]:
        """Return what would make another model than ``earlier``.

        A newer tool alone is no reason, and neither is a revision or weight format that is None here: it was
        not asked for.
        """
        mine, theirs = asdict(self), asdict(earlier)
        names = ["model", *(name for name in ("revision", "weight_format") if mine[name] is not None)]
        found = [f"{name} {theirs[name]}, now {mine[name]}" for name in names if mine[name] != theirs[name]]
        return found + self._option_differences(earlier, _CONVERSION_OPTIONS)

    def graph_differences(self, earlier: ExportRecord) -> list[str]:
        """Return what would make another graph.pbtxt than ``earlier``."""
        names = {*self.options, *earlier.options}.difference(_CONVERSION_OPTIONS)
        return self._option_differences(earlier, sorted(names))

    def _option_differences(self, earlier: ExportRecord, names: Iterable[str]) -> list[str]:
        found = []
        for name in names:
            now, before = self.options.get(name), earlier.options.get(name)
            if now != before:
                found.append(f"{name} {json.dumps(before)}, now {json.dumps(now)}")
        return found


def read_record(directory: Path) -> ExportRecord:
    """Return the record in ``directory``; raises EdgeError if there is none."""
    path = directory / EXPORT_RECORD
    try:
        return ExportRecord(**json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise EdgeError(f"{path} is missing: not made by this tool", _REMEDY) from error
    except (ValueError, TypeError) as error:
        raise EdgeError(f"{path} is no record of an export: {error}", _REMEDY) from error


def describe_files(directory: Path) -> dict[str, dict[str, Any]]:
    """Return size (bytes) and SHA-256 of every file below ``directory``, the record itself left out."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    described = {path.relative_to(directory).as_posix(): _describe(path) for path in paths}
    described.pop(EXPORT_RECORD, None)
    return described


def check_files(directory: Path, record: ExportRecord) -> None:
    """Raise EdgeError, naming the file, unless all is as recorded; reads every byte.

    ``graph.pbtxt`` may have been edited: ``is_graph_edited`` tells.
    """
    for name, expected in record.files.items():
        path = directory / name
        if not path.is_file():
            raise EdgeError(f"{path} is missing", _REMEDY)
        if name == GRAPH_FILE:
            continue
        size = path.stat().st_size
        if size != expected["size"]:
            raise EdgeError(f"{path} has {size} bytes, {expected['size']} when it was exported", _REMEDY)
        if _digest(path) != expected["sha256"]:
            raise EdgeError(f"{path} is not as it was exported: its SHA-256 differs", _REMEDY)


def is_graph_edited(directory: Path, record: ExportRecord) -> bool:
    """Return whether ``graph.pbtxt`` is another than the exporter wrote."""
    expected = record.files.get(GRAPH_FILE)
    return expected is not None and _digest(directory / GRAPH_FILE) != expected["sha256"]


def _describe(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": _digest(path)}


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
