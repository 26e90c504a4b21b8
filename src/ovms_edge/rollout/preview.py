"""A plan as its operator sees it before anything moves: one document, and that as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from ovms_edge.node.output import size_text, table
from ovms_edge.rollout.amounts import duration_text
from ovms_edge.rollout.forecast import Forecast, forecast
from ovms_edge.rollout.plan import Plan, PlannedWave
from ovms_edge.rollout.spec import Spec
from ovms_edge.rollout.survey import Survey

_SHOWN_STORES = 4
_SHOWN_REGIONS = 3
_SHOWN_REASONS = 10
_HEADINGS = ("wave", "stores", "at once", "failed", "late", "soak", "fetch", "not before (UTC)", "regions")
_LEFT = (0, 7, 8)  # columns; the others are numbers


def preview_document(plan: Plan, spec: Spec, survey: Survey | None, now: datetime) -> dict[str, Any]:
    """Return what is to come if it begins at ``now``; sizes in bytes, None where nothing is known."""
    ahead = forecast(plan, survey, now)
    moved = [name for wave in plan.waves for name in wave.stores]
    asked = survey.stores if survey else {}
    return {
        "id": plan.id,
        "name": plan.name,
        "release": plan.release,
        "staging": plan.staging,
        "on_breach": plan.on_breach,
        "failed_limit": plan.failed_limit,
        "late_limit": plan.late_limit,
        "stores": len(moved),
        "waves": [
            _wave_document(plan, wave, times.begins, times.ends, times.rounds, _wanted(spec, plan, wave))
            for wave, times in zip(plan.waves, ahead.waves, strict=True)
        ],
        "left_out": _left_out(plan, spec),
        "fetch_bytes": _fetch_bytes(plan, moved),
        "unsized": sum(name not in plan.fetch_bytes for name in moved),
        "surveyed": survey.at if survey else None,
        "unsuitable": dict(plan.unsuitable),
        "not_reached": {
            name: asked[name].reason for name in sorted(moved) if name in asked and not asked[name].reached
        },
        "not_surveyed": sorted(name for name in moved if name not in asked),
        "not_known": {
            name: asked[name].reason
            for name in sorted(moved)
            if name in asked and asked[name].reached and asked[name].suitable is None
        },
        **_time_document(plan, ahead),
    }


def _wave_document(
    plan: Plan, wave: PlannedWave, begins: datetime, ends: datetime, rounds: int, wanted: int | None
) -> dict[str, Any]:
    regions = Counter(plan.stores[name].region for name in wave.stores)
    return {
        "name": wave.name,
        "stores": list(wave.stores),
        "wanted": wanted,
        "regions": dict(sorted(regions.items(), key=lambda entry: (-entry[1], entry[0]))),
        "fetch_bytes": _fetch_bytes(plan, wave.stores),
        "concurrency": wave.concurrency,
        "failed_limit": wave.failed_limit,
        "late_limit": wave.late_limit,
        "min_serving": wave.min_serving,
        "soak_seconds": wave.soak_seconds,
        "approval": wave.approval,
        "rounds": rounds,
        "begins": _rfc3339(begins),
        "ends": _rfc3339(ends),
    }


def _wanted(spec: Spec, plan: Plan, wave: PlannedWave) -> int | None:
    """Return how many stores the wave was to have, None where any number is right."""
    total = len(plan.stores) - len(plan.unsuitable)
    sizes = [one.size for one in spec.waves if one.name == wave.name and not one.repeat]
    return next((size.up(total) for size in sizes if size), None)


def _left_out(plan: Plan, spec: Spec) -> list[str]:
    """Return the waves for which no store was left."""
    names = {wave.name for wave in plan.waves}
    return [wave.name for wave in spec.waves if (f"{wave.name}-1" if wave.repeat else wave.name) not in names]


def _fetch_bytes(plan: Plan, names: Sequence[str]) -> int | None:
    known = [plan.fetch_bytes[name] for name in names if name in plan.fetch_bytes]
    return sum(known) if known else None


def _time_document(plan: Plan, ahead: Forecast) -> dict[str, Any]:
    return {
        "seconds_at_least": round(ahead.seconds, 3),
        "ends_at_earliest": _rfc3339(ahead.waves[-1].ends),
        "fetching_seconds": round(sum(wave.fetching for wave in ahead.waves), 3),
        "soak_seconds": sum(wave.soak_seconds for wave in plan.waves),
        "closed_seconds": round(sum(wave.closed for wave in ahead.waves), 3),
        "rounds": sum(wave.rounds for wave in ahead.waves),
        "untimed": ahead.untimed,
    }


def preview_text(document: Mapping[str, Any]) -> str:
    """Return the document for a person."""
    parts = [
        table(_summary(document)),
        "\n".join(_wave_table(document["waves"])),
        "\n".join(
            [*_members(document["waves"]), *(f"{name}: no store is left" for name in document["left_out"])]
        ),
        _reasons("cannot take it; left alone", document["unsuitable"]),
        _reasons("not reached; to catch up later", document["not_reached"]),
        _reasons("reached; not known whether they can take it", document["not_known"]),
    ]
    return "\n\n".join(part for part in parts if part)


def _summary(document: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    waves = document["waves"]
    yield "rollout", document["id"]
    yield "release", document["release"]
    yield "stores", f"{document['stores']} in {_many(len(waves), 'wave')}"
    yield "staging", "ahead: all from the start" if document["staging"] == "ahead" else "as each wave begins"
    limits = f"{document['failed_limit']} failed, {document['late_limit']} late"
    yield "budget", f"{limits}; then {document['on_breach']}"
    yield "fetch", _fetch_line(document)
    least, end = duration_text(document["seconds_at_least"]), _minute(document["ends_at_earliest"])
    yield "time", f"at least {least}: to {end} UTC if it begins now"
    yield "", _parts_of_time(document)
    yield "", f"not counted: {', '.join(_not_counted(document))}"


def _fetch_line(document: Mapping[str, Any]) -> str:
    if document["fetch_bytes"] is None:
        return "not known: the stores were not asked (playbooks/survey_stores.yml, --survey)"
    unsized = f"; not known for {_many(document['unsized'], 'store')}" if document["unsized"] else ""
    surveyed = f", asked {document['surveyed']}" if document["surveyed"] else ""
    return f"{size_text(document['fetch_bytes'])}{unsized}{surveyed}"


def _parts_of_time(document: Mapping[str, Any]) -> str | None:
    parts = (("fetching", "fetching"), ("waiting for windows", "closed"), ("soak", "soak"))
    said = [
        f"{duration_text(document[f'{key}_seconds'])} {what}"
        for what, key in parts
        if document[f"{key}_seconds"]
    ]
    return ", ".join(said) or None


def _not_counted(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"{_many(document['rounds'], 'round')} of activations"
    if document["untimed"]:
        yield f"fetching of {_many(document['untimed'], 'store')}"
    approvals = sum(wave["approval"] for wave in document["waves"])
    if approvals:
        yield _many(approvals, "approval")


def _wave_table(waves: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    rows = [_HEADINGS, *map(_row, waves)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        cells = zip(row, widths, strict=True)
        aligned = [
            text.ljust(width) if column in _LEFT else text.rjust(width)
            for column, (text, width) in enumerate(cells)
        ]
        yield "  ".join(aligned).rstrip()


def _row(wave: Mapping[str, Any]) -> tuple[str, ...]:
    size = wave["fetch_bytes"]
    regions = [f"{region or '(none)'} {number}" for region, number in wave["regions"].items()]
    return (
        wave["name"],
        str(len(wave["stores"])),
        str(wave["concurrency"]),
        str(wave["failed_limit"]),
        str(wave["late_limit"]),
        duration_text(wave["soak_seconds"]) if wave["soak_seconds"] else "-",
        "-" if size is None else size_text(size),
        f"{_minute(wave['begins'])}{' + approval' if wave['approval'] else ''}",
        _first(regions, _SHOWN_REGIONS),
    )


def _members(waves: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for wave in waves:
        wanted = wave["wanted"]
        short = f"; {wanted} were wanted" if wanted and wanted > len(wave["stores"]) else ""
        yield f"{wave['name']}: {_first(wave['stores'], _SHOWN_STORES)}{short}"


def _reasons(what: str, reasons: Mapping[str, str | None]) -> str:
    if not reasons:
        return ""
    shown = list(reasons.items())[:_SHOWN_REASONS]
    more = len(reasons) - len(shown)
    width = max(len(name) for name, _ in shown)
    lines = [f"  {name:<{width}}  {reason or 'no reason given'}" for name, reason in shown]
    return "\n".join(
        [f"{_many(len(reasons), 'store')} {what}:", *lines, *([f"  and {more} more"] if more else [])]
    )


def _first(names: Sequence[str], number: int) -> str:
    more = f" and {len(names) - number} more" if len(names) > number else ""
    return ", ".join(names[:number]) + more


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")
