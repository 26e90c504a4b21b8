"""The graphs that a configuration names, checked with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ovms_edge.config_file.document import Document, show_path
from ovms_edge.config_file.servables import Servable
from ovms_edge.finding import Finding


def graph_findings(
    document: Document, servables: list[Servable], ovms_version: str, directory: Path
) -> Iterator[Finding]:
    """Yield what ``graph check`` says of each graph, at the place of its entry and with the graph's own.

    ``directory`` is that of the configuration: graphs below it are named as seen from there.
    """
    from ovms_edge.graph.check import check_graph  # protobuf is slow to import, and may not be needed

    for servable in servables:
        file = servable.graph_file
        if servable.kind != "graph" or file is None or not file.is_file():
            continue
        shown = file.relative_to(directory) if file.is_relative_to(directory) else file
        path = (*servable.path, "name")
        for finding in check_graph(file.read_text(encoding="utf-8", errors="replace"), ovms_version):
            place = "".join(f":{number}" for number in (finding.line, finding.column) if number is not None)
            line, column = document.place(path)
            yield replace(
                finding,
                message=f"{shown}{place}: {finding.message}",
                line=line,
                column=column,
                path=" ".join((show_path(path), finding.path)).strip(),
            )
