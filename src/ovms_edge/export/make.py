"""Making what was decided on: beside its place, checked, recorded, then moved there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.export.adopt import copy_model
from ovms_edge.export.available import available_memory
from ovms_edge.export.content import check_converted, has_chat_template
from ovms_edge.export.job import Job, Part, staged_weight_format
from ovms_edge.export.optimum import Conversion, Converter, convert, peak_memory_of_converter
from ovms_edge.export.preflight import GB, check_disk, check_memory
from ovms_edge.export.progress import Progress
from ovms_edge.export.record import ExportRecord, describe_files, read_record
from ovms_edge.export.verdict import check_graph_of
from ovms_edge.ovms.memory import ModelMemory, model_memory
from ovms_edge.release.content import EXPORT_RECORD, GRAPH_FILE

_CHANGE_OPTIONS = "change the options that it names"


def make_model(
    job: Job, find_tools: Callable[[], Converter], lock_descriptor: int, progress: Progress
) -> None:
    """Convert or take over the model (and its draft model) and publish it. Raises EdgeError."""
    converter = check_possible(job, find_tools, progress)
    try:
        job.place.workspace.mkdir()
        made = [_make(job, part, converter, lock_descriptor, progress) for part in job.parts]
        _publish(job, made, converter.tools if converter else {}, progress)
    except OSError as error:
        error.filename = error.filename or str(job.place.workspace)  # a full disk names no file
        raise
    finally:
        job.place.discard()
    progress.say(f"{job.place.target} is whole")


def check_possible(job: Job, find_tools: Callable[[], Converter], progress: Progress) -> Converter | None:
    """Return the converter if one is needed. Raises EdgeError for what would fail after hours."""
    converts = any(part.arguments is not None for part in job.parts)
    converter = find_tools() if converts else None
    check_machine(job)
    check_planned_graph(job, progress)
    return converter


def check_planned_graph(job: Job, progress: Progress) -> None:
    """Raise EdgeError if OVMS would refuse the graph, as far as it can be told without the model."""
    graph = job.graph(job.cache_size(job.expected_memory()))
    check_graph_of(None, graph, job.options.ovms_version, progress, _CHANGE_OPTIONS)


def rewrite_graph(job: Job, progress: Progress) -> None:
    """Write graph and record anew; the model's files stay what they are. Raises EdgeError."""
    earlier = read_record(job.place.target)
    try:
        job.place.reuse()
        _write_graph(job, progress)
        options = {**_conversion_options(earlier.options), **_graph_options(job, job.place.staging)}
        _write_record(job, earlier.model, earlier.revision, earlier.weight_format, earlier.tools, options)
        job.place.publish()
    finally:
        job.place.discard()
    progress.say(f"{job.place.target / GRAPH_FILE} is written anew, nothing was converted")


def wanted_record(job: Job, target: Path | None) -> ExportRecord:
    """Return what the record would say; ``target`` holds a whole model that it is to be compared with.

    Of a hub's model the commit counts only if one was asked for, or the model may be replaced: else one that
    is there stays, whatever the hub has by now.
    """
    source = job.main.source
    asked = job.options.revision is not None or job.options.overwrite_models or source.commit is None
    revision = source.revision() if target and asked else None
    options = _part_options(job, job.draft)
    options |= _graph_options(job, target)
    return ExportRecord(source.model.name, revision, job.main.weight_format, {}, options)


def check_machine(job: Job) -> None:
    """Raise EdgeError if disk or memory of this machine are too small for the export."""
    check_disk(job.disk_needs())
    if not job.options.skip_memory_check:
        largest = max(job.parts, key=lambda part: part.peak_bytes)
        check_memory(job.peak_bytes, available_memory(), largest.source.model.name)


def _make(
    job: Job, part: Part, converter: Converter | None, lock_descriptor: int, progress: Progress
) -> Part:
    """Return the part as it was made: with its source downloaded."""
    source = part.source.fetched(progress)
    staging = job.place.staging
    output = staging / job.draft_directory if part is job.draft and job.draft_directory else staging
    if part.arguments is None or converter is None:
        progress.say(f"copying {source.model.name}: it is OpenVINO IR already")
        copy_model(source.directory, output, progress)
    else:
        progress.say(f"converting {source.model.name} to {part.weight_format} with optimum-cli")
        offline = not job.options.needs_hub_to_convert
        conversion = Conversion(source.model.name, source.directory, part.arguments, output, offline)
        convert(converter, conversion, job.place.workspace, lock_descriptor, progress)
        progress.say(f"converted; {peak_memory_of_converter() / GB:.1f} GB of memory at its peak")
    progress.say(f"checking that every part of {source.model.name} is whole")
    _check_output(part, output, progress)
    return Part(source, part.kind, part.arguments, staged_weight_format(part, job.options, output))


def _check_output(part: Part, output: Path, progress: Progress) -> None:
    made_by = "optimum-cli made of" if part.arguments is not None else "was copied of"
    try:
        kind = check_converted(output)
    except EdgeError as error:
        raise EdgeError(
            f"what {made_by} {part.source.model.name} is not whole, and was removed: {error.reason}",
            "check that the source is complete (tokenizer, preprocessor, chat template) and export again",
        ) from error
    if kind == "LM" and not has_chat_template(output):
        progress.say("it has no chat template: OVMS will answer /v3/completions only")


def _publish(job: Job, made: list[Part], tools: dict[str, str], progress: Progress) -> None:
    main, *drafts = made
    _write_graph(job, progress)
    options = _part_options(job, drafts[0] if drafts else None)
    options |= _graph_options(job, job.place.staging)
    progress.say("taking the digests of all files")
    _write_record(job, main.source.model.name, main.source.revision(), main.weight_format, tools, options)
    job.place.publish()


def _write_graph(job: Job, progress: Progress) -> None:
    staging = job.place.staging
    memory = _memory_of(job, staging)
    if doubt := job.doubts(memory):
        progress.say(f"warning: for a host of {job.options.target_memory_gib} GiB: {doubt}")
    text = job.graph(job.cache_size(memory))
    check_graph_of(staging, text, job.options.ovms_version, progress, _CHANGE_OPTIONS)
    graph = staging / GRAPH_FILE
    graph.unlink(missing_ok=True)  # it may be a link to the one that is in place
    graph.write_text(text)


def _write_record(
    job: Job,
    model: str,
    revision: str | None,
    weight_format: str | None,
    tools: dict[str, str],
    options: dict[str, Any],
) -> None:
    path = job.place.staging / EXPORT_RECORD
    path.unlink(missing_ok=True)
    files = describe_files(job.place.staging)
    path.write_text(ExportRecord(model, revision, weight_format, tools, options, files).to_text())


def _memory_of(job: Job, directory: Path) -> ModelMemory:
    memory = model_memory(directory)
    if job.draft_directory is None:
        return memory
    draft = model_memory(directory / job.draft_directory)
    per_token = memory.kv_bytes_per_token + draft.kv_bytes_per_token
    return ModelMemory(memory.weights_bytes + draft.weights_bytes, per_token, memory.layers)


def _graph_options(job: Job, directory: Path | None) -> dict[str, Any]:
    """Return the options about the graph for the record; ``directory`` None: as far as the source tells."""
    is_there = directory is not None and (directory / (job.draft_directory or "")).is_dir()
    memory = _memory_of(job, directory) if directory and is_there else job.expected_memory()
    return {"ovms_version": job.options.ovms_version, **job.graph_options(job.cache_size(memory))}


def _part_options(job: Job, draft: Part | None) -> dict[str, Any]:
    options: dict[str, Any] = _how(job.main)
    if draft is not None:
        source = draft.source
        options["draft"] = {
            "model": source.model.name,
            "revision": source.revision(),
            "directory": job.draft_directory,
            **_how(draft),
        }
    return options


def _how(part: Part) -> dict[str, Any]:
    return {"adopted": True} if part.arguments is None else {"optimum": part.arguments}


def _conversion_options(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in ("optimum", "adopted", "draft")}
