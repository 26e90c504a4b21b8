"""Make a plan of a spec, the stores of the inventory and what a survey found. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ovms_edge.errors import EdgeError
from ovms_edge.rollout.calendar import zone_of
from ovms_edge.rollout.plan import Plan, PlannedWave
from ovms_edge.rollout.spec import Spec
from ovms_edge.rollout.stores import Store
from ovms_edge.rollout.survey import Survey, Surveyed
from ovms_edge.rollout.waves import Assigned, assign


def make_plan(
    spec: Spec,
    stores: Sequence[Store],
    matching: Mapping[str, Collection[str]],
    survey: Survey | None = None,
) -> Plan:
    """Return the plan. ``matching``: names of stores by the pattern of each wave that has one.

    Raises EdgeError where the spec does not fit the fleet.
    """
    if not stores:
        raise EdgeError(
            f"no store matches {spec.stores!r}", "correct `stores` of the rollout, or the inventory"
        )
    _check_zones(stores)
    asked = survey.stores if survey else {}
    known = {store.name: asked[store.name] for store in _sorted(stores) if store.name in asked}
    unsuitable = {name: _why(said) for name, said in known.items() if said.reached and said.suitable is False}
    offline = {name for name, said in known.items() if not said.reached}  # a canary has to be there
    able = [store for store in stores if store.name not in unsuitable]
    if not able:
        raise EdgeError(
            f"none of {len(stores)} stores can take {spec.release}: {next(iter(unsuitable.values()))}",
            "mend the stores, or release what fits them",
        )
    taking = {name: said for name, said in known.items() if name not in unsuitable}
    return Plan(
        id="",
        name=spec.name,
        release=spec.release,
        staging=spec.staging,
        on_breach=spec.on_breach,
        late_after_seconds=spec.late_after_seconds,
        retry_every_seconds=spec.retry_every_seconds,
        open_for_seconds=spec.open_for_seconds,
        failed_limit=spec.budget.failed.of(len(able)),
        late_limit=spec.budget.late.of(len(able)),
        waves=tuple(map(_planned, assign(spec.waves, able, spec.release, matching, offline))),
        stores={store.name: store for store in _sorted(stores)},
        unsuitable=unsuitable,
        fetch_bytes={name: said.fetch_bytes for name, said in taking.items() if said.fetch_bytes is not None},
        before={name: said.serving for name, said in taking.items() if said.serving is not None},
    ).identified()


def _sorted(stores: Sequence[Store]) -> list[Store]:
    return sorted(stores, key=lambda store: store.name)


def _why(said: Surveyed) -> str:
    reason = said.reason or "the survey gives no reason"
    return f"{reason}; {said.remedy}" if said.remedy else reason


def _check_zones(stores: Sequence[Store]) -> None:
    """Refuse a time zone that is not known, by the first store that has it."""
    zones: dict[str, str] = {}
    for store in _sorted(stores):
        zones.setdefault(store.timezone, store.name)
    for zone, name in zones.items():
        try:
            zone_of(zone)
        except EdgeError as error:
            raise EdgeError(f"store {name}: {error.reason}", error.remedy) from error


def _planned(wave: Assigned) -> PlannedWave:
    size, spec = len(wave.stores), wave.spec
    min_serving = spec.min_serving.up(size)
    if min_serving > size:
        raise EdgeError(
            f"{spec.place}: wave {wave.name} wants {min_serving} stores to serve and has {size}",
            "lower min_serving, or write a percent",
        )
    return PlannedWave(
        name=wave.name,
        stores=wave.stores,
        soak_seconds=spec.soak_seconds,
        approval=spec.approval,
        min_serving=min_serving,
        concurrency=spec.concurrency,
        failed_limit=spec.budget.failed.of(size),
        late_limit=spec.budget.late.of(size),
        calendar=spec.calendar,
    )
