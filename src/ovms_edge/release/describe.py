"""What the files beside the weights say about a model: where it came from and how it is to be served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.graph.reader import read_graph
from ovms_edge.ovms.json_file import read_object
from ovms_edge.release.content import EXPORT_RECORD, GRAPH_FILE

HOST_OPTIONS = ("models_path", "device")  # each node's own


def read_source(model: Path) -> dict[str, Any]:
    """Return the export record's account of the model, or nothing if it was exported without one.

    Its digests of files are left out: the manifest has its own.
    """
    path = model / EXPORT_RECORD
    record = read_object(path) if path.exists() else {}
    return {name: value for name, value in record.items() if name != "files"}


def read_graph_defaults(model: Path, ovms_version: str) -> dict[str, Any]:
    """Return the options that graph.pbtxt sets, those of one host left out.

    Raises EdgeError if it is missing, or one that ``ovms_version`` could not load.
    """
    path = model / GRAPH_FILE
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeError(f"{path} cannot be read: {error}", "export the model again") from error
    options = read_graph(text, ovms_version).llm_options
    if not options:
        raise EdgeError(f"{path} has no LLMCalculatorOptions", "export the model again as text_generation")
    return {name: value for name, value in options.items() if name not in HOST_OPTIONS}
