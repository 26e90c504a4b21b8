"""A hub that cannot be asked is no obstacle to a model that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.export.architecture import Kind
from ovms_edge.export.content import check_converted, read_export
from ovms_edge.export.job import servable_name
from ovms_edge.export.options import ExportOptions
from ovms_edge.export.record import ExportRecord
from ovms_edge.export.source import find_source


def find_present(options: ExportOptions) -> tuple[str, Path] | None:
    """Return name and directory of the model in place, if it is whole and what ``options`` ask for.

    A commit asked for by --revision must be the one recorded; without it, any is right.
    """
    source = find_source(options.source_model)
    name = servable_name(options, source)
    target = options.model_repository_path / name
    try:
        record = read_export(target)
        kind = check_converted(target)
    except EdgeError:
        return None  # then the hub is needed, and that it cannot be reached is what to say
    same = (
        not options.overwrite_models
        and options.draft_source_model is None
        and record.model == source.name
        and options.revision in (None, record.revision)
        and record.options == _wanted_options(options, record, kind)
    )
    return (name, target) if same else None


def _wanted_options(options: ExportOptions, record: ExportRecord, kind: Kind) -> dict[str, Any]:
    cache_size = record.options.get("cache_size") if options.cache_size is None else options.cache_size
    graph = {"ovms_version": options.ovms_version, **options.graph_options(cache_size or 0)}
    if record.options.get("adopted"):
        return {"adopted": True, **graph}
    return {"optimum": options.optimum_arguments(kind, options.quantization()), **graph}
