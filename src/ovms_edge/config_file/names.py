"""Names of servables: who gets one that is used twice, and which are trouble in a URL.

Sources: openvinotoolkit/model_server v2025.4.1, src/modelmanager.cpp (loadModels, processPipelineConfig,
processMediapipeConfig), src/mediapipe_internal/mediapipegraphdefinition.cpp, src/dags/pipelinedefinition.cpp
and src/model_service.cpp (serializeModelsStatuses2Json).
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from ovms_edge.config_file.document import Document, show_path
from ovms_edge.config_file.servables import Servable
from ovms_edge.errors import EdgeError
from ovms_edge.finding import Finding
from ovms_edge.ovms.config import check_name

_UNIQUE = "give each servable a name of its own, or remove one"


def name_findings(document: Document, servables: list[Servable]) -> list[Finding]:
    """Return what is wrong with the names, or has to be known to use them."""
    return [
        finding
        for servable in servables
        for finding in (*_twice(document, servable, servables), *_characters(document, servable))
    ]


def _twice(document: Document, servable: Servable, servables: list[Servable]) -> Iterator[Finding]:
    order = sorted((other for other in servables if other.name == servable.name), key=_loading_order)
    before = order[: order.index(servable)]
    if not before:
        return
    name, place = servable.name, document.place((*servable.path, "name"))
    path = show_path((*servable.path, "name"))
    same_kind = any(other.kind == servable.kind for other in before)
    if servable.kind == "unknown" or any(other.kind == "unknown" for other in before):
        message = f"{name} is named already: OVMS serves the first one only"
        yield Finding("warning", "duplicate_name", message, _UNIQUE, *place, path)
    elif servable.kind == "model":
        message = f'OVMS logs "Duplicated model names: {name} defined in config file", and loads the first'
        yield Finding("error", "MODEL_NAME_OCCUPIED", message, _UNIQUE, *place, path)
    elif same_kind:
        kind = "mediapipe" if servable.kind == "graph" else "pipeline"
        message = f'OVMS logs "Duplicated {kind} names: {name} defined in config file", and loads the first'
        yield Finding("warning", "duplicate_name", message, _UNIQUE, *place, path)
    elif servable.kind == "graph":
        message = (
            f'OVMS logs "Mediapipe graph name: {name} is already occupied by model or pipeline", '
            "and never lists the graph"
        )
        yield Finding("error", "MEDIAPIPE_GRAPH_NAME_OCCUPIED", message, _UNIQUE, *place, path)
    else:
        message = f'OVMS logs "Pipeline name: {name} is already occupied by model"'
        yield Finding("error", "PIPELINE_NAME_OCCUPIED", message, _UNIQUE, *place, path)


def _loading_order(servable: Servable) -> tuple[int, int]:
    """Return the order in which OVMS loads: models, pipelines, graphs of the older list, other graphs."""
    ranks = {"model": 0, "pipeline": 1, "graph": 2, "unknown": 3}
    rank = 3 if servable.kind == "graph" and servable.among_models else ranks[servable.kind]
    return rank, int(servable.path[1])


def _characters(document: Document, servable: Servable) -> Iterator[Finding]:
    place = (*document.place((*servable.path, "name")), show_path((*servable.path, "name")))
    try:
        check_name(servable.name)
    except EdgeError as error:
        message = f"{error.reason}: OVMS writes names unescaped, and /v1/config is no JSON then"
        yield Finding("warning", "name_breaks_status", message, error.remedy, *place)
        return
    escaped = quote(servable.name, safe="")
    if escaped != servable.name:
        message = f"/v1/models/... and /v2/models/... know {servable.name} only as {escaped}"
        fix = "write it so in those two; in /v1/config, /v3 and requests it stands as it is"
        yield Finding("note", "name_needs_escape", message, fix, *place)
