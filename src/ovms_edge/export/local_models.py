"""What ``setup_models.sh`` asks: is the model there and whole, and which copies does this machine hold."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.export.adopt import held_weight_format
from ovms_edge.export.content import check_converted
from ovms_edge.export.place import Place
from ovms_edge.export.record import check_files, read_record
from ovms_edge.export.requirements import check_requirements
from ovms_edge.export.server_config import update_config
from ovms_edge.export.source import find_source
from ovms_edge.ovms.fields import DEFAULT_OVMS_VERSION
from ovms_edge.release.content import EXPORT_RECORD, GRAPH_FILE

_RELEASE_MANIFEST = "manifest.json"
_SEARCH_DEPTH = 3  # RELEASES/NAME/VERSION, and REPOSITORY/ORGANISATION/MODEL with one to spare


@dataclass(frozen=True)
class Wanted:
    """The servable ``name``, made of ``source`` (hub id or directory name) in ``weight_format``."""

    name: str
    source: str
    weight_format: str


def trouble(directory: Path) -> str | None:
    """Return what is wrong with the model in ``directory``; None if it is whole and has its graph."""
    if reason := _damage(directory):
        return reason
    graph = directory / GRAPH_FILE
    return None if graph.is_file() else f"{graph} is missing"


def copies(wanted: Wanted, places: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
    """Yield each directory below ``places`` with the wanted model or its name, and what is wrong with it."""
    seen = set()
    for place in places:
        for directory in _model_directories(place, _SEARCH_DEPTH):
            resolved = directory.resolve()
            if resolved in seen:
                continue
            seen.add(resolved)
            record = _record(directory)
            named = directory.name == PurePosixPath(wanted.name).name
            difference = _difference(directory, record, wanted)
            if named or (record and not difference):
                yield directory, difference or _damage(directory)  # no graph: a copy gets its own


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``state``, ``differences`` or ``find``; returns 0, or 1 with the reason on standard error."""
    options = _parser().parse_args(arguments)
    try:
        check_requirements()
        if options.command == "state":
            print(_state(options.repository, options.name))
        elif options.command == "differences":
            for line in _differences(options):
                print(line)
        else:
            source = find_source(options.source).name
            places = [Path(entry) for entry in options.places.split(os.pathsep) if entry]
            _find(Wanted(options.name, source, options.weight_format), places)
    except EdgeError as error:
        print(f"{error.reason}; {error.remedy}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or 'file'}: {error.strerror}; mend its permissions", file=sys.stderr)
        return 1
    return 0


def _state(repository: Path, name: str) -> str:
    """Return ``absent``, ``whole`` or ``damaged: REASON``; a whole model is in ``config.json`` then."""
    target = repository / name
    place = Place(target)
    place.check(repository)
    if target.parent.is_dir():
        with place.locked():
            for line in place.recover():
                print(line, file=sys.stderr)
    if not target.exists():
        return "absent"
    if reason := trouble(target):
        return f"damaged: {reason}"
    config_file = repository / "config.json"
    if update_config(config_file, name, target, DEFAULT_OVMS_VERSION):
        print(f"{config_file} serves {name} now", file=sys.stderr)
    return "whole"


def _differences(options: argparse.Namespace) -> Iterator[str]:
    """Yield what is asked for and is not what ``export.json`` says; nothing for a model without one."""
    record = _record(options.repository / options.name)
    if not record:
        return
    if options.source:
        source = find_source(options.source).name
        if not _is_made_of(record, Wanted(options.name, source, "")):
            yield f"it was made of {record['model']}, SOURCE_MODEL is {source}"
    made = record.get("options") or {}
    for variable, wish, held in (
        ("TARGET_DEVICE", options.device, made.get("device")),
        ("CACHE_SIZE", options.cache_size, made.get("cache_size")),
    ):
        if wish and wish != str(held):
            yield f"it was made for {variable} {held}, now {wish}"


def _find(wanted: Wanted, places: Sequence[Path]) -> None:
    for directory, reason in copies(wanted, places):
        if reason:
            print(f"passed over {directory}: {reason}", file=sys.stderr)
        else:
            print(directory)


def _model_directories(place: Path, depth: int) -> Iterator[Path]:
    """Yield the directories with an IR in ``place`` and down to ``depth`` below it, hidden ones left out."""
    try:
        entries = sorted(place.iterdir())
    except OSError:  # a known place that is not there, or is not for us to read, holds no copy for us
        return
    if any(entry.name.startswith("openvino_") and entry.suffix == ".xml" for entry in entries):
        yield place
    elif depth:
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                yield from _model_directories(entry, depth - 1)


def _record(directory: Path) -> dict[str, Any]:
    """Return what the model says of its source; empty if nothing."""
    record = _json(directory / EXPORT_RECORD) or _json(directory / _RELEASE_MANIFEST).get("source")
    return record if isinstance(record, dict) and record.get("model") else {}


def _difference(directory: Path, record: dict[str, Any], wanted: Wanted) -> str | None:
    """Return why the model is another than the wanted one, as far as it says; None if it may be that."""
    if record and not _is_made_of(record, wanted):
        return f"it was made of {record['model']}, not of {wanted.source}"
    held = record.get("weight_format") or held_weight_format(directory)
    if held not in (None, wanted.weight_format):
        return f"it holds {held} weights, not {wanted.weight_format}"
    return None


def _is_made_of(record: dict[str, Any], wanted: Wanted) -> bool:
    """Return whether it is the source; one made of a directory, or a copy of the model, has the last part."""
    last_parts = {PurePosixPath(name).name for name in (wanted.source, wanted.name)}
    return record["model"] == wanted.source or record["model"] in last_parts


def _damage(directory: Path) -> str | None:
    """Return what is wrong with the model's files: every byte where ``export.json`` has digests of them.

    A model that another tool exported has no record, and is whole if its parts are.
    """
    try:
        check_converted(directory)
        if (directory / EXPORT_RECORD).exists():
            check_files(directory, read_record(directory))
    except EdgeError as error:
        return error.reason
    return None


def _json(path: Path) -> dict[str, Any]:
    """Return the object in ``path``; empty if there is none: it identifies a model, it does not make one."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local_models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    state = commands.add_parser("state", help="absent, whole or damaged: REASON")
    state.add_argument("--repository", type=Path, required=True)
    state.add_argument("--name", required=True)
    differences = commands.add_parser("differences", help="what was asked for and is not so, one a line")
    differences.add_argument("--repository", type=Path, required=True)
    differences.add_argument("--name", required=True)
    for wish in ("--source", "--device", "--cache-size"):
        differences.add_argument(wish, default="", help="empty: not asked for")
    find = commands.add_parser("find", help="directories with a whole copy, one a line")
    find.add_argument("--name", required=True)
    find.add_argument("--source", required=True)
    find.add_argument("--weight-format", required=True)
    find.add_argument("--places", required=True, help=f"directories, separated by {os.pathsep}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
