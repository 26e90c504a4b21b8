"""What OVMS will say of the graph, asked before the model is published."""

from __future__ import annotations

from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.export.progress import Progress
from ovms_edge.finding import has_errors
from ovms_edge.release.content import GRAPH_FILE


def check_graph_of(
    directory: Path | None, text: str, ovms_version: str, progress: Progress, remedy: str
) -> None:
    """Show what the checker finds in a graph for the model in ``directory`` (None: not made yet).

    Raises EdgeError if OVMS ``ovms_version`` would refuse it. Whether it fits a host is not asked here: this
    is a builder, and a cache_size that does not fit the host that is to serve is the planner's warning.
    """
    from ovms_edge.graph.check import check_graph  # needs a package, and --help does without
    from ovms_edge.graph.model import read_model_facts

    model = read_model_facts(directory) if directory else None
    findings = check_graph(text, ovms_version, model)
    shown = [finding for finding in findings if directory or finding.severity == "error"]
    for finding in shown:
        progress.say(finding.to_text(GRAPH_FILE))
    if has_errors(findings):
        raise EdgeError(f"OVMS {ovms_version} would refuse this {GRAPH_FILE}, see above", remedy)
