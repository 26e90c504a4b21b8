"""Whether there is anything to do, and whether it may be done: the export wanted against the one in place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.export.content import is_replaceable, read_export
from ovms_edge.export.record import ExportRecord, is_graph_edited


class Action(Enum):
    """What an export has to do."""

    NOTHING = "nothing: the model is there, whole and made with the same options"
    GRAPH = "write graph.pbtxt and export.json anew, convert nothing"
    MAKE = "make the model"


@dataclass(frozen=True)
class Decision:
    """``reasons`` say what differs, or what was left as it is."""

    action: Action
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Present:
    """What is in place: a whole export, or why it is none."""

    record: ExportRecord | None
    damage: str | None
    graph_edited: bool
    replaceable: bool


def look_at(target: Path) -> Present | None:
    """Return what is in ``target``, every byte of it checked; None if nothing is there."""
    if not target.exists():
        return None
    replaceable = is_replaceable(target)
    try:
        record = read_export(target)
    except EdgeError as error:
        return Present(None, error.reason, False, replaceable)
    return Present(record, None, is_graph_edited(target, record), replaceable)


def decide(target: Path, present: Present | None, wanted: ExportRecord, overwrite: bool) -> Decision:
    """Return what to do. Raises EdgeError if something else is in place and may not be replaced."""
    if present is None:
        return Decision(Action.MAKE)
    if not present.replaceable:
        raise EdgeError(
            f"{target} is there and is no exported model", "move it away, or choose another --model_name"
        )
    if present.record is None:
        return _replace(target, f"is not a whole export: {present.damage}", overwrite)
    moved = wanted.conversion_differences(present.record)
    graph = wanted.graph_differences(present.record)
    edited = ("graph.pbtxt was edited since it was exported",) if present.graph_edited else ()
    if moved:
        return _replace(target, f"was made otherwise: {'; '.join([*moved, *graph, *edited])}", overwrite)
    if graph and not overwrite:
        raise EdgeError(
            f"{target} is there and its graph.pbtxt was made otherwise: {'; '.join([*graph, *edited])}",
            "add --overwrite_models to write it anew (nothing is converted), or choose another --model_name",
        )
    if graph or (edited and overwrite):
        return Decision(Action.GRAPH, (*graph, *edited))
    kept = tuple(f"{note}, and is kept; --overwrite_models writes it anew" for note in edited)
    return Decision(Action.NOTHING, kept)


def _replace(target: Path, reason: str, overwrite: bool) -> Decision:
    if not overwrite:
        raise EdgeError(
            f"{target} is there and {reason}",
            "add --overwrite_models to replace it, or choose another --model_name",
        )
    return Decision(Action.MAKE, (f"what is there {reason}",))
