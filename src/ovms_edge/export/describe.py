"""The plan of an export, as ``--dry-run`` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from ovms_edge.export.available import available_memory
from ovms_edge.export.job import Job, Part
from ovms_edge.export.preflight import GB, size_text
from ovms_edge.ovms.memory import ModelMemory

_WIDTH = 12


def plan_lines(job: Job) -> Iterator[str]:
    """Yield what will be made, from what, what it takes, and the graph."""
    for part in job.parts:
        yield from _part_lines(part)
    yield _line("target", job.place.target)
    if job.draft_directory:
        yield _line("draft in", job.place.target / job.draft_directory)
    yield _line("config", f"{job.options.config_file} serves {job.name}")
    if job.peak_bytes:
        available = f"{available_memory() / GB:.1f} GB available"
        yield _line("memory", f"about {job.peak_bytes / GB:.1f} GB at the peak, {available}")
    for need in job.disk_needs():
        yield _line("disk", f"{size_text(need.size)} for {need.purpose}")
    memory = job.expected_memory()
    yield _line("serving", _serving(job, memory))
    if doubt := job.doubts(memory):
        yield _line("warning", doubt)
    yield ""
    yield job.graph(job.cache_size(memory)).rstrip()
    yield ""


def _part_lines(part: Part) -> Iterator[str]:
    source = part.source
    where = "on the hub" if source.hub else "on this machine"
    commit = f" at {source.commit}" if source.commit else ""
    what = "vision-language model" if part.kind == "VLM" else "language model"
    form = "OpenVINO IR" if source.converted else f"{source.weights.parameters / 1e9:.2f} billion parameters"
    yield _line("source", f"{source.model.name}{commit}, {where}: {what}, {form}")
    if part.arguments is None:
        yield _line("conversion", f"none: copied, weights {part.weight_format or 'as they are'}")
    else:
        yield _line("conversion", " ".join(["optimum-cli export openvino", *part.arguments]))


def _serving(job: Job, memory: ModelMemory) -> str:
    planned = "" if job.options.cache_size is not None else ", cache_size planned for it"
    return (
        f"weights about {size_text(memory.weights_bytes)}, host of {job.options.target_memory_gib} GiB"
        f"{planned}: cache_size {job.cache_size(memory)}"
    )


def _line(label: str, value: object) -> str:
    return f"{label:{_WIDTH}}{value}"
