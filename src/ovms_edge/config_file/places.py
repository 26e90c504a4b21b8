"""What is in the directories that a configuration names, and which of its settings reach a graph.

Sources: openvinotoolkit/model_server v2025.4.1, src/modelmanager.cpp (readAvailableVersions, loadModels,
loadMediapipeSubConfigModels), src/mediapipe_internal/mediapipegraphdefinition.cpp.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

from ovms_edge.config_file.document import Document, show_path
from ovms_edge.config_file.schema import GRAPH_KEYS, GRAPHS_AMONG_MODELS, Version
from ovms_edge.config_file.servables import GRAPH_FILE, Servable
from ovms_edge.finding import Finding, Severity

_OVMS_UID = 5000  # of the official image (model_server v2025.4.1, Dockerfile.ubuntu)
_HF_CONFIG_AS_SUBCONFIG = (2025, 1)  # src/mediapipe_internal/mediapipegraphconfig.cpp
_LIKE_A_GRAPH = {"name", "base_path", "target_device", "plugin_config"}


def place_findings(document: Document, servables: list[Servable], version: Version) -> list[Finding]:
    """Return what is wrong with the directories, as far as they are at hand."""
    found = [finding for servable in servables for finding in _entry(document, servable, version)]
    return found + list(_subconfigs(document, servables, version))


def _entry(document: Document, servable: Servable, version: Version) -> Iterator[Finding]:
    yield from _absolute(document, servable)
    if servable.kind == "graph":
        yield from _graph(document, servable)
    elif servable.kind == "model":
        yield from _model(document, servable, version)
    elif servable.kind == "unknown":
        yield from _unknown(document, servable, version)


def _graph(document: Document, servable: Servable) -> Iterator[Finding]:
    for key in servable.settings:
        if key not in GRAPH_KEYS:
            message = f"{key} does not reach a graph: OVMS reads it from graph.pbtxt only"
            fix = _MOVE_TO_GRAPH.get(key, "remove it")
            place = document.key_place((*servable.path, key))
            yield Finding(
                "warning", "no_effect_on_graph", message, fix, *place, show_path((*servable.path, key))
            )
    if servable.graph_file is None:
        return
    if not servable.graph_file.is_file():
        message = (
            f'no {servable.graph_file}: OVMS logs "Failed to open mediapipe graph definition: '
            f'{servable.name}", and lists it as LOADING with FAILED_PRECONDITION'
        )
        yield _at_base(document, servable, "error", "FILE_INVALID", message, "export the model there")
        return
    yield from _readable(document, servable, servable.graph_file)


_MOVE_TO_GRAPH = {
    "target_device": "set device in graph.pbtxt, and remove it here",
    "plugin_config": "set plugin_config in graph.pbtxt, and remove it here",
}


def _model(document: Document, servable: Servable, version: Version) -> Iterator[Finding]:
    directory = servable.directory
    if directory is None:
        return
    if "base_path" not in servable.settings and servable.graph_file is None:
        # a graph without base_path is looked for below its name, a plain model is not (src/modelconfig.cpp)
        directory = directory.parents[len(Path(servable.name).parts) - 1]
    escaped = ".." in Path(str(servable.settings.get("base_path", ""))).parts
    if escaped or not directory.is_dir():
        why = 'leaves by "..", which OVMS forbids' if escaped else "does not exist"
        message = f"{directory} {why}: OVMS starts without {servable.name}"
        fix = "correct base_path: a relative one counts from the directory of this file"
        yield _at_base(document, servable, "error", "PATH_INVALID", message, fix)
        return
    if _has_versions(directory) and servable.graph_file is None:
        message = f"{servable.name} is a plain model, no graph: its own settings and files are not checked"
        fix = "see OVMS's log after the start"
        yield _at_base(document, servable, "note", "not_checked", message, fix)
        return
    yield _at_base(
        document,
        servable,
        "error",
        "MEDIAPIPE_DEFINITION_NAME_MISSING",
        f'OVMS logs "No version found for model in path: {directory}", starts without {servable.name}, '
        "and answers its requests with 404",
        _fix_for_no_graph(servable, version),
    )


def _fix_for_no_graph(servable: Servable, version: Version) -> str:
    if servable.graph_file is not None and version < GRAPHS_AMONG_MODELS:
        return (
            "move the entry, without 'config', to mediapipe_config_list: OVMS looks for graphs "
            "in model_config_list since 2025.1"
        )
    return f"export the model again: {GRAPH_FILE} is missing; no directory named 1 is needed"


def _unknown(document: Document, servable: Servable, version: Version) -> Iterator[Finding]:
    if version < GRAPHS_AMONG_MODELS and set(servable.settings) <= _LIKE_A_GRAPH:
        message = f"if {servable.name} is a graph, this OVMS does not find it: it looks here since 2025.1"
        fix = "move the entry, without 'config', to mediapipe_config_list"
        yield _at_base(document, servable, "warning", "graph_among_models", message, fix)


def _absolute(document: Document, servable: Servable) -> Iterator[Finding]:
    base = str(servable.settings.get("base_path", ""))
    if base.startswith("/"):
        seen = "is looked up there" if servable.directory is None else "is there on this host, too"
        message = f"{base} counts inside the container, and {seen}"
        fix = "mount the models there; a relative base_path counts from the directory of this file"
        yield _at_base(document, servable, "note", "absolute_base_path", message, fix)


def _has_versions(directory: Path) -> bool:
    return any(
        entry.is_dir() and entry.name.isdigit() and int(entry.name) > 0 for entry in directory.iterdir()
    )


def _readable(document: Document, servable: Servable, file: Path) -> Iterator[Finding]:
    for path, read, run in ((file, stat.S_IROTH, stat.S_IRUSR), (file.parent, stat.S_IXOTH, stat.S_IXUSR)):
        state = path.stat()
        if not state.st_mode & (run if state.st_uid == _OVMS_UID else read):
            message = (
                f"{path} (mode {stat.S_IMODE(state.st_mode):04o}) is closed to uid {_OVMS_UID} of OVMS's "
                "image: the graph counts as missing"
            )
            fix = f"chmod a+rX {path}, or run the container with --user {state.st_uid}"
            yield _at_base(document, servable, "warning", "closed_to_ovms", message, fix)


def _subconfigs(document: Document, servables: list[Servable], version: Version) -> Iterator[Finding]:
    """Find models of a graph that OVMS never reads, since an earlier graph's file ended its reading."""
    graphs = [servable for servable in servables if servable.kind == "graph" and servable.directory]
    graphs.sort(key=lambda servable: servable.among_models)  # the older list comes first
    ended_by: Path | None = None
    for servable in graphs:
        file = _subconfig(servable, version)
        if file is None:
            continue
        if not _lists_models(file):
            ended_by = ended_by or file
        elif ended_by is not None:
            message = f"OVMS never reads {file}: {ended_by} comes first, and lists no models"
            fix = f"put {servable.name} before the graph of {ended_by.parent}"
            yield _at_base(document, servable, "warning", "subconfig_unread", message, fix)


def _subconfig(servable: Servable, version: Version) -> Path | None:
    """Return the file that OVMS takes for a graph's subconfig: possibly the model's own config.json."""
    directory = servable.graph_file.parent if servable.graph_file else servable.directory
    if directory is None:
        return None
    names = [str(servable.settings.get("subconfig", "subconfig.json"))]
    if version >= _HF_CONFIG_AS_SUBCONFIG:
        names.append("config.json")
    return next((directory / name for name in names if (directory / name).is_file()), None)


def _lists_models(file: Path) -> bool:
    try:
        content = json.loads(file.read_bytes())
    except ValueError:
        return False
    return isinstance(content, dict) and isinstance(content.get("model_config_list"), list)


def _at_base(
    document: Document, servable: Servable, severity: Severity, code: str, message: str, fix: str
) -> Finding:
    has_base = "base_path" in servable.settings
    path = (*servable.path, "base_path" if has_base else "name")
    return Finding(severity, code, message, fix, *document.place(path), show_path(path))
