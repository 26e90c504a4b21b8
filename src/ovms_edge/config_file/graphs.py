"""The graphs that a configuration names, checked with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ovms_edge.config_file.document import Document, show_path
from ovms_edge.config_file.servables import Servable
from ovms_edge.finding import Finding

if TYPE_CHECKING:
    from ovms_edge.graph.model import ModelFacts


def graph_findings(
    document: Document, servables: list[Servable], ovms_version: str, directory: Path
) -> Iterator[Finding]:
    """Yield what ``graph check`` says of each graph, at the place of its entry and with the graph's own.

    ``directory`` is that of the configuration: graphs below it are named as seen from there.
    """
    # protobuf is slow to import, and may not be needed
    from ovms_edge.graph.check import check_graph
    from ovms_edge.graph.files import read_graph_file

    for servable in servables:
        file = servable.graph_file
        if servable.kind != "graph" or file is None or not file.is_file():
            continue
        shown = file.relative_to(directory) if file.is_relative_to(directory) else file
        path = (*servable.path, "name")
        for finding in check_graph(read_graph_file(file), ovms_version, _model(servable, file)):
            place = "".join(f":{number}" for number in (finding.line, finding.column) if number is not None)
            line, column = document.place(path)
            yield replace(
                finding,
                message=f"{shown}{place}: {finding.message}",
                line=line,
                column=column,
                path=" ".join((show_path(path), finding.path)).strip(),
            )


def _model(servable: Servable, file: Path) -> ModelFacts | None:
    """Return the model beside the graph: relative paths in it start at the servable's directory.

    Where OVMS took the graph from the directory ``1`` below, they start there.
    """
    from ovms_edge.graph.model import holds_model, read_model_facts

    base = file.parent if file.parent.name == "1" else servable.directory
    if base is None or not holds_model(base):
        return None
    path = str(servable.settings.get("base_path", ""))
    mounted_at = path if path.startswith("/") and base == servable.directory else None
    return read_model_facts(base, mounted_at)
