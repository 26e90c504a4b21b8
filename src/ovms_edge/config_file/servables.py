"""The servables that a configuration names, as OVMS finds them.

Source: openvinotoolkit/model_server v2025.4.1, src/modelmanager.cpp (loadModels, CheckStartFromGraph) and
src/mediapipe_internal/mediapipegraphconfig.cpp (parseNode).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ovms_edge.config_file.document import JsonPath
from ovms_edge.config_file.schema import GRAPHS_AMONG_MODELS, Version

GRAPH_FILE = "graph.pbtxt"
_CLOUD = ("s3://", "gs://", "azfs://", "az://")

Kind = Literal["model", "pipeline", "graph", "unknown"]


@dataclass(frozen=True)
class Servable:
    """One entry. ``path`` is that of its settings in the file.

    ``kind`` is unknown for an entry of model_config_list whose directory is not at hand: OVMS takes it for a
    graph if it finds one there. ``directory`` is its base_path on this host, None if that is not known;
    ``graph_file`` is None where there is none.
    """

    name: str
    path: JsonPath
    kind: Kind
    settings: Mapping[str, Any]
    directory: Path | None = None
    graph_file: Path | None = None

    @property
    def among_models(self) -> bool:
        """Whether it stands in model_config_list."""
        return self.path[0] == "model_config_list"


def read_servables(config: Mapping[str, Any], version: Version, directory: Path | None) -> list[Servable]:
    """Return all entries in file order; ``directory`` is that of the file, None to leave the disk alone."""
    return [
        *_among_models(config, version, directory),
        *_graphs(config, directory),
        *(
            Servable(entry["name"], ("pipeline_config_list", index), "pipeline", entry)
            for index, entry in enumerate(config.get("pipeline_config_list", []))
        ),
    ]


def _among_models(config: Mapping[str, Any], version: Version, root: Path | None) -> Iterator[Servable]:
    for index, entry in enumerate(config["model_config_list"]):
        settings, path = entry["config"], ("model_config_list", index, "config")
        directory = _directory(settings, root)
        if directory is None:
            yield Servable(settings["name"], path, "unknown", settings)
            continue
        graph_file = find_graph(directory, settings)
        is_graph = graph_file is not None and version >= GRAPHS_AMONG_MODELS
        kind: Kind = "graph" if is_graph else "model"
        yield Servable(settings["name"], path, kind, settings, directory, graph_file)


def _graphs(config: Mapping[str, Any], root: Path | None) -> Iterator[Servable]:
    for index, settings in enumerate(config.get("mediapipe_config_list", [])):
        directory = _directory(settings, root)
        file = None if directory is None else directory / settings.get("graph_path", GRAPH_FILE)
        path = ("mediapipe_config_list", index)
        yield Servable(settings["name"], path, "graph", settings, directory, file)


def find_graph(directory: Path, settings: Mapping[str, Any]) -> Path | None:
    """Return the graph that makes an entry of model_config_list a graph, if there is one."""
    candidates = (directory / settings.get("graph_path", GRAPH_FILE), directory / "1" / GRAPH_FILE)
    return next((file for file in candidates if file.is_file()), None)


def _directory(settings: Mapping[str, Any], root: Path | None) -> Path | None:
    base = str(settings.get("base_path") or settings["name"])
    if root is None or base.startswith(_CLOUD):
        return None
    if base.startswith("/"):  # counts inside the container: only what is at the same place here can be read
        return Path(base) if Path(base).is_dir() else None
    return root / base
