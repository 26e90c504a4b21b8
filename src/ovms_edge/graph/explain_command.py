"""``ovms-edge graph explain``: the graph of a file or directory, its model, a host."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ovms_edge.errors import UsageError
from ovms_edge.graph.explain import explain_graph
from ovms_edge.graph.files import graph_file, read_graph_file
from ovms_edge.graph.model import ModelFacts, holds_model, read_model_facts
from ovms_edge.ovms.memory import HostMemory


def run_explain(
    path: Path,
    ovms_version: str,
    model_directory: Path | None,
    host: HostMemory | None,
    *,
    as_json: bool,
) -> None:
    """Print what ``path`` says for ``ovms_version``; the model is beside it unless it is given.

    Raises EdgeError if the file cannot be read or this OVMS cannot parse it.
    """
    file = graph_file(path)
    explanation = explain_graph(read_graph_file(file), ovms_version, _model(file, model_directory), host)
    if as_json:
        sys.stdout.write(json.dumps(explanation.to_dict(), indent=2) + "\n")
    else:
        sys.stdout.write(explanation.to_text())


def host_memory(host_bytes: int | None, gpu_bytes: int | None) -> HostMemory | None:
    """Return the host that ``--host-gib`` and ``--gpu-gib`` describe, None without them."""
    if host_bytes is None:
        if gpu_bytes is not None:
            raise UsageError("--gpu-gib says nothing without the host's memory", "give --host-gib, too")
        return None
    return HostMemory(host_bytes, gpu_bytes)


def _model(file: Path, directory: Path | None) -> ModelFacts | None:
    if directory is None:
        directory = file.parent if holds_model(file.parent) else None
    return read_model_facts(directory) if directory else None
