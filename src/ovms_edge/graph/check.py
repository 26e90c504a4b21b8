"""What OVMS would make of a ``graph.pbtxt``: everything that is wrong with it, not only the first."""

from __future__ import annotations

from collections.abc import Iterable

from ovms_edge.finding import Finding
from ovms_edge.graph.checks.parse import check_parse
from ovms_edge.graph.checks.queue import check_queue
from ovms_edge.graph.checks.semantics import check_semantics
from ovms_edge.graph.checks.structure import check_structure
from ovms_edge.graph.checks.tree import TreeGraph
from ovms_edge.graph.model import ModelFacts
from ovms_edge.ovms.fields import fields_for
from ovms_edge.ovms.memory import HostMemory


def check_graph(
    text: str, ovms_version: str, model: ModelFacts | None = None, host: HostMemory | None = None
) -> list[Finding]:
    """Return what OVMS ``ovms_version`` would do with a graph of this ``text``, in file order.

    None of severity ``error`` means that it loads, as far as that can be known without loading. ``model`` is
    what lies where ``models_path: "./"`` leads, ``host`` what the server runs on; without them what depends
    on them is not checked. Raises EdgeError for a version that the field matrix does not hold.
    """
    fields_for(ovms_version)
    tree, findings = check_parse(text, ovms_version)
    if tree is None:
        return findings
    graph = TreeGraph(tree)
    findings = [
        *findings,
        *check_queue(text, graph, ovms_version),
        *check_structure(graph, ovms_version),
        *check_semantics(graph, ovms_version, model, host),
    ]
    return sorted(findings, key=lambda finding: (finding.line or 0, finding.column or 0))


def first_error(findings: Iterable[Finding]) -> Finding | None:
    """Return the error that OVMS meets first and reports, None if there is none."""
    errors = [finding for finding in findings if finding.severity == "error"]
    return min(errors, key=lambda finding: finding.step, default=None)
