"""A hub that cannot be asked is no obstacle to a model that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.export.architecture import Kind
from ovms_edge.export.content import check_converted, read_export
from ovms_edge.export.options import ExportOptions
from ovms_edge.export.record import ExportRecord
from ovms_edge.export.source import find_source


def is_present(options: ExportOptions, directory: Path) -> bool:
    """Return whether the model in ``directory`` is whole and what ``options`` ask for.

    A commit asked for by --revision must be the one recorded; without it, any is right.
    """
    source = find_source(options.source_model)
    try:
        record = read_export(directory)
        kind = check_converted(directory)
    except EdgeError:
        return False  # then the hub is needed, and that it cannot be reached is what to say
    return (
        not options.overwrite_models
        and options.draft_source_model is None
        and record.model == source.name
        and options.revision in (None, record.revision)
        and record.options == _wanted_options(options, record, kind)
    )


def _wanted_options(options: ExportOptions, record: ExportRecord, kind: Kind) -> dict[str, Any]:
    cache_size = record.options.get("cache_size") if options.cache_size is None else options.cache_size
    graph = {"ovms_version": options.ovms_version, **options.graph_options(cache_size or 0)}
    if record.options.get("adopted"):
        return {"adopted": True, **graph}
    return {"optimum": options.optimum_arguments(kind, options.quantization()), **graph}
