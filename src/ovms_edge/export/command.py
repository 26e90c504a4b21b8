"""``export_model.py``: from a Hugging Face model to a model that OVMS serves, whole or not at all."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.export.content import ExportRecord, check_converted, is_replaceable, read_export
from ovms_edge.export.optimum import Converter, convert, find_converter
from ovms_edge.export.options import ExportOptions, check_model_name, parse_arguments
from ovms_edge.export.place import Place, check_free_space
from ovms_edge.export.server_config import base_path_for, read_config, update_config
from ovms_edge.export.source import SourceModel, find_source
from ovms_edge.ovms.config import with_servable
from ovms_edge.ovms.graph import render_graph
from ovms_edge.release.content import EXPORT_RECORD, GRAPH_FILE


@dataclass(frozen=True)
class Progress:
    """Lines on standard error, each with the seconds since the start."""

    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Show one line."""
        print(f"[{time.monotonic() - self.started:7.1f} s] {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Export:
    """One export; what could never succeed has been refused already."""

    options: ExportOptions
    source: SourceModel
    name: str
    place: Place
    graph: str

    def record(self, tools: dict[str, str]) -> ExportRecord:
        """Return what ``export.json`` says; reads all of a local source to identify it."""
        return ExportRecord(
            model=self.source.name,
            revision=self.source.revision(),
            weight_format=self.options.weight_format,
            tools=tools,
            options={
                "ovms_version": self.options.ovms_version,
                "optimum": self.options.optimum_arguments(),
                **self.options.graph_options(),
            },
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0 done, 1 refused or failed, 2 usage."""
    try:
        options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
        export_model(options, Progress())
    except UsageError as error:
        return _failed(str(error), status=2)
    except EdgeError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"{error.filename or 'file'}: {error.strerror}; mend the disk or its permissions")
    except KeyboardInterrupt:
        return _failed("interrupted; run it again: what is there is the former model or the whole new one")
    return 0


def export_model(
    options: ExportOptions, progress: Progress, find_tools: Callable[[], Converter] = find_converter
) -> None:
    """Export unless it is done already. Raises EdgeError; the target is then as it was."""
    export = prepare(options)
    with export.place.locked() as lock_descriptor:
        for line in export.place.recover():
            progress.say(line)
        if needs_export(export):
            _export(export, find_tools(), lock_descriptor, progress)
        else:
            progress.say(f"{export.place.target} is there, whole and made with the same options")
    if update_config(options.config_file, export.name, export.place.target):
        progress.say(f"{options.config_file} serves {export.name}")


def prepare(options: ExportOptions) -> Export:
    """Return the export that ``options`` ask for. Raises EdgeError for what could never succeed."""
    source = find_source(options.source_model)
    name = options.model_name or source.default_model_name(options.weight_format)
    check_model_name(name)
    place = Place(options.model_repository_path / name)
    base_path = base_path_for(place.target, options.config_file)
    with_servable(read_config(options.config_file), name, base_path)
    graph = render_graph(options.graph_options(), options.ovms_version)
    return Export(options, source, name, place, graph)


def needs_export(export: Export) -> bool:
    """Return False if the target is what was asked for, True if it may be written.

    Raises EdgeError if something else is there and --overwrite_models was not given, or if what is there is
    no model at all.
    """
    target = export.place.target
    if not target.exists():
        return True
    try:
        differences = export.record({}).differences(read_export(target))
        reason = f"was made otherwise: {'; '.join(differences)}"
    except EdgeError as error:
        differences = [error.reason]
        reason = f"is not a whole export: {error.reason}"
    if not differences:
        return False
    if not export.options.overwrite_models:
        raise EdgeError(
            f"{target} is there and {reason}",
            "add --overwrite_models to replace it, or choose another --model_name",
        )
    if not is_replaceable(target):
        raise EdgeError(f"{target} is there and is no exported model", "choose another --model_name")
    return True


def _export(export: Export, converter: Converter, lock_descriptor: int, progress: Progress) -> None:
    place, source = export.place, export.source
    needed_bytes = source.size_bytes()
    if needed_bytes is not None:
        check_free_space(place.target, needed_bytes)
    progress.say(f"converting {source.name} to {export.options.weight_format} with optimum-cli")
    try:
        place.workspace.mkdir()
        convert(
            converter,
            source.argument,
            export.options.optimum_arguments(),
            place.staging,
            offline=source.directory is not None,
            lock_descriptor=lock_descriptor,
            say=progress.say,
        )
        progress.say("checking that every part of the model is whole")
        _check_output(export)
        (place.staging / GRAPH_FILE).write_text(export.graph)
        # now, because only the download tells which commit of a hub id this is
        (place.staging / EXPORT_RECORD).write_text(export.record(converter.tools).to_text())
        place.publish()
    finally:
        place.discard()
    progress.say(f"{place.target} is whole")


def _check_output(export: Export) -> None:
    try:
        check_converted(export.place.staging)
    except EdgeError as error:
        raise EdgeError(
            f"what optimum-cli made of {export.source.name} is not whole, and was removed: {error.reason}",
            "check that the source is complete (tokenizer, preprocessor, chat template) and export again",
        ) from error


def _failed(message: str, status: int = 1) -> int:
    print(f"export_model: {message}", file=sys.stderr)
    return status
