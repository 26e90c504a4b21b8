"""``export_model.py``: from a Hugging Face model to a model that OVMS serves, whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.export.arguments import parse_arguments
from ovms_edge.export.decision import Action, Decision, decide, look_at
from ovms_edge.export.describe import plan_lines
from ovms_edge.export.job import Job, prepare, servable_name
from ovms_edge.export.make import (
    check_planned_graph,
    check_possible,
    make_model,
    rewrite_graph,
    wanted_record,
)
from ovms_edge.export.optimum import Converter, find_converter
from ovms_edge.export.options import ExportOptions
from ovms_edge.export.place import Place
from ovms_edge.export.progress import Progress
from ovms_edge.export.requirements import check_requirements
from ovms_edge.export.server_config import update_config
from ovms_edge.export.source import HubUnreachableError, find_source
from ovms_edge.export.unreachable import is_present
from ovms_edge.export.verdict import check_graph_of
from ovms_edge.release.content import GRAPH_FILE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 done, 1 refused or failed, 2 usage."""
    progress = Progress()
    try:
        options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
        check_requirements()
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
        _keep_present(options, error, progress)
        return
    if options.dry_run:
        _print_plan(job, find_tools, progress)
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
            _check_kept_graph(job.place.target, options, progress)
            progress.say(f"{job.place.target} is there, whole and made with the same options")
    _serve(options, job.name, job.place.target, progress)


def _keep_present(options: ExportOptions, unreachable: HubUnreachableError, progress: Progress) -> None:
    """Be content with the model that is there, if it is the one asked for; raises ``unreachable`` if not."""
    name = servable_name(options, find_source(options.source_model))
    place = Place(options.model_repository_path / name)
    if not place.target.parent.is_dir():
        raise unreachable
    with nullcontext() if options.dry_run else place.locked():
        for line in place.recover(dry_run=options.dry_run):
            progress.say(line)
        if not is_present(options, place.present):
            raise unreachable
        progress.say(
            f"{unreachable.reason}; the model is there already, whole and made with the same options"
        )
        _check_kept_graph(place.present, options, progress)
    if options.dry_run:
        print(f"to do: {Action.NOTHING.value}")
    else:
        _serve(options, name, place.target, progress)


def _serve(options: ExportOptions, name: str, target: Path, progress: Progress) -> None:
    if update_config(options.config_file, name, target, options.ovms_version):
        progress.say(f"{options.config_file} serves {name}")


def _print_plan(job: Job, find_tools: Callable[[], Converter], progress: Progress) -> None:
    """Print what the run would do. Raises EdgeError for what it would refuse."""
    for line in plan_lines(job):
        print(line)
    for line in job.place.recover(dry_run=True):
        print(line)
    decision = _decision(job)
    for reason in decision.reasons:
        print(reason)
    print(f"to do: {decision.action.value}")
    if decision.action is Action.MAKE:
        check_possible(job, find_tools, progress)
    elif decision.action is Action.GRAPH:
        check_planned_graph(job, progress)
    else:
        _check_kept_graph(job.place.present, job.options, progress)


def _decision(job: Job, progress: Progress | None = None) -> Decision:
    target = job.place.present
    if progress and target.exists():
        progress.say(f"{target} is there: reading all of it")
    present = look_at(target)
    whole = present is not None and present.record is not None
    return decide(
        target, present, wanted_record(job, target if whole else None), job.options.overwrite_models
    )


def _check_kept_graph(directory: Path, options: ExportOptions, progress: Progress) -> None:
    check_graph_of(
        directory,
        (directory / GRAPH_FILE).read_text(),
        options.ovms_version,
        progress,
        "mend it, or write it anew with --overwrite_models",
    )


def _failed(progress: Progress, message: str, status: int = 1) -> int:
    progress.end()
    print(f"export_model: {message}", file=sys.stderr)
    return status
