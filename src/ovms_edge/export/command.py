"""``export_model.py``: from a Hugging Face model to a model that OVMS serves, whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.export.arguments import parse_arguments
from ovms_edge.export.decision import Action, Decision, decide, look_at
from ovms_edge.export.describe import plan_lines
from ovms_edge.export.job import Job, prepare
from ovms_edge.export.make import check_machine, make_model, rewrite_graph, wanted_record
from ovms_edge.export.optimum import Converter, find_converter
from ovms_edge.export.options import ExportOptions
from ovms_edge.export.progress import Progress
from ovms_edge.export.server_config import update_config
from ovms_edge.export.source import HubUnreachableError
from ovms_edge.export.unreachable import find_present
from ovms_edge.export.verdict import check_graph_of
from ovms_edge.release.content import GRAPH_FILE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 done, 1 refused or failed, 2 usage."""
    progress = Progress()
    try:
        options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
        export_model(options, progress)
    except UsageError as error:
        return _failed(progress, str(error), status=2)
    except EdgeError as error:
        return _failed(progress, str(error))
    except OSError as error:
        reason = f"{error.filename or 'file'}: {error.strerror or error}"
        return _failed(progress, f"{reason}; mend the disk or its permissions")
    except KeyboardInterrupt:
        reason = "interrupted; run it again: what is there is the former model or the whole new one"
        return _failed(progress, reason)
    return 0


def export_model(
    options: ExportOptions, progress: Progress, find_tools: Callable[[], Converter] = find_converter
) -> None:
    """Export unless it is done already. Raises EdgeError; the target is then as it was."""
    try:
        job = prepare(options)
    except HubUnreachableError as error:
        present = find_present(options)
        if present is None:
            raise
        progress.say(f"{error.reason}; the model is there already, whole and made with the same options")
        _serve(options, *present, progress)
        return
    if options.dry_run:
        _print_plan(job)
        return
    with job.place.locked() as lock_descriptor:
        for line in job.place.recover():
            progress.say(line)
        decision = _decision(job, progress)
        for reason in decision.reasons:
            progress.say(reason)
        if decision.action is Action.MAKE:
            make_model(job, find_tools, lock_descriptor, progress)
        elif decision.action is Action.GRAPH:
            rewrite_graph(job, progress)
        else:
            _check_kept_graph(job, progress)
            progress.say(f"{job.place.target} is there, whole and made with the same options")
    _serve(options, job.name, job.place.target, progress)


def _serve(options: ExportOptions, name: str, target: Path, progress: Progress) -> None:
    if update_config(options.config_file, name, target, options.ovms_version):
        progress.say(f"{options.config_file} serves {name}")


def _print_plan(job: Job) -> None:
    for line in plan_lines(job):
        print(line)
    decision = _decision(job)
    for reason in decision.reasons:
        print(reason)
    print(f"to do: {decision.action.value}")
    if decision.action is Action.MAKE:
        check_machine(job)


def _decision(job: Job, progress: Progress | None = None) -> Decision:
    target = job.place.target
    if progress and target.exists():
        progress.say(f"{target} is there: reading all of it")
    present = look_at(target)
    whole = present is not None and present.record is not None
    return decide(
        target, present, wanted_record(job, target if whole else None), job.options.overwrite_models
    )


def _check_kept_graph(job: Job, progress: Progress) -> None:
    check_graph_of(
        job.place.target,
        (job.place.target / GRAPH_FILE).read_text(),
        job.options.ovms_version,
        progress,
        "mend it, or write it anew with --overwrite_models",
    )


def _failed(progress: Progress, message: str, status: int = 1) -> int:
    progress.end()
    print(f"export_model: {message}", file=sys.stderr)
    return status
