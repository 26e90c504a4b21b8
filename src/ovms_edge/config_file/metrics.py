"""The metric families that ``monitoring.metrics.metrics_list`` may name.

Sources: openvinotoolkit/model_server, src/metric_config.hpp and .cpp at the tags v2024.4 to v2026.3 (from
v2026.2 in src/metrics); which of them a graph has: MediapipeServableMetricReporter in
src/model_metric_reporter.cpp.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from ovms_edge.config_file.document import Document, JsonPath, show_path
from ovms_edge.config_file.schema import Version
from ovms_edge.finding import Finding

_LIST: JsonPath = ("monitoring", "metrics", "metrics_list")
_ENABLE: JsonPath = ("monitoring", "metrics", "enable")
_GRAPH_ERRORS_AND_TIMES = (2025, 0)

_OF_GRAPHS = ("ovms_current_graphs", "ovms_requests_accepted", "ovms_requests_rejected", "ovms_responses")
_OF_GRAPHS_SINCE_2025_0 = ("ovms_graph_error", "ovms_graph_processing_time_us")
_OF_MODELS = (
    "ovms_current_requests",
    "ovms_requests_success",
    "ovms_requests_fail",
    "ovms_request_time_us",
    "ovms_streams",
    "ovms_inference_time_us",
    "ovms_wait_for_infer_req_time_us",
)
OPTIONAL_FAMILIES = ("ovms_infer_req_queue_size", "ovms_infer_req_active")


def graph_families(version: Version) -> tuple[str, ...]:
    """Return the families that have series for a graph."""
    return _OF_GRAPHS + (_OF_GRAPHS_SINCE_2025_0 if version >= _GRAPH_ERRORS_AND_TIMES else ())


def default_families(version: Version) -> tuple[str, ...]:
    """Return the families that are on where metrics_list is left out."""
    return _OF_MODELS + graph_families(version)


def metrics_findings(
    document: Document, version: Version, serves_models: bool, rest_port: int | None
) -> Iterator[Finding]:
    """Check ``monitoring``: names as OVMS does, then whether they show anything.

    ``serves_models``: there are classic models, whose families are of use, too. ``rest_port`` is that of the
    server's command line: 0 for none, None if it is not known.
    """
    metrics = document.value.get("monitoring", {}).get("metrics")
    if metrics is None:
        return
    if metrics["enable"]:
        yield from _rest_port(document, rest_port)
    listed: list[str] = metrics.get("metrics_list", [])
    yield from _names(document, version, listed)
    if "metrics_list" not in metrics:
        return
    if not metrics["enable"]:
        yield Finding(
            "warning",
            "metrics_off",
            "metrics_list has no effect while enable is false",
            'write "enable": true, or remove metrics_list',
            *document.place(_ENABLE),
            show_path(_LIST),
        )
        return
    yield from _series(document, version, listed, serves_models)


def _rest_port(document: Document, rest_port: int | None) -> Iterator[Finding]:
    place = (*document.place(_ENABLE), show_path(_ENABLE))
    fix = "start OVMS with --rest_port, and without --metrics_enable (both is CONFIG_FILE_INVALID)"
    if rest_port is None:
        message = "metrics are served on the REST port: without --rest_port OVMS ends at start"
        yield Finding("note", "metrics_need_rest_port", message, fix, *place)
    elif rest_port == 0:
        message = "metrics are on, and there is no --rest_port: OVMS ends at start"
        yield Finding("error", "METRICS_REST_PORT_MISSING", message, fix, *place)


def _names(document: Document, version: Version, listed: list[str]) -> Iterator[Finding]:
    known = default_families(version) + OPTIONAL_FAMILIES
    for index, name in enumerate(listed):
        path = (*_LIST, index)
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            fix = f"write {close[0]!r}, or remove it" if close else "remove it"
            if name == "ovms_graph_request_latency_us":
                fix = "use ovms_graph_processing_time_us: OVMS has this one in its sources, not in its list"
        elif name in listed[:index]:
            fix = "remove it: OVMS takes a name that it has already for one that it does not know"
        else:
            continue
        message = f'OVMS logs "Metrics family name not supported: {name}"; it ends at start'
        place = document.place(path)
        yield Finding("error", "INVALID_METRICS_FAMILY_NAME", message, fix, *place, show_path(path))


def _series(
    document: Document, version: Version, listed: list[str], serves_models: bool
) -> Iterator[Finding]:
    useful = graph_families(version)
    if any(name in useful for name in listed):
        useless = [] if serves_models else [name for name in listed if name in _OF_MODELS + OPTIONAL_FAMILIES]
        message = f"{', '.join(useless)}: no series for a graph, only for classic models"
        fix = "remove what shows nothing"
    else:
        useless = listed or ["an empty list"]
        message = f"{', '.join(useless)}: no series for a graph, so /metrics shows nothing of it"
        fix = f"use {', '.join(useful)}; or leave metrics_list out"
    if useless:
        place = document.place(_LIST)
        yield Finding("warning", "metrics_without_series", message, fix, *place, show_path(_LIST))
