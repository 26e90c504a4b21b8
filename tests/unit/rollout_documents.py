"""Status documents of rollouts as fleets have them: the same for the same seed.

`python -m tests.unit.rollout_documents 5000` prints one.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

OLD, NEW = "qwen2.5-vl-7b-instruct-int8@1.0.0", "qwen2.5-vl-7b-instruct-int8@1.1.0"
ID = "vlm-1.1-0a1b2c3d"
BEGAN = datetime(2026, 11, 28, 7, tzinfo=UTC)
REGIONS = (
    ("north", "Europe/Berlin"),
    ("south", "Europe/Rome"),
    ("west", "Europe/Lisbon"),
    ("isles", "Europe/London"),
    ("overseas", "America/Martinique"),
)
HARDWARE = ("mtl-16", "mtl-32", "mtl-64")
OFFLINE = "Failed to connect to the host via ssh: connect to host {host} port 22: Connection timed out"
Drawn = Callable[[random.Random], tuple[str, str]]
FAILURES: tuple[Drawn, ...] = (
    lambda luck: (
        f"golden answer 'tray' has none of: rice, soup; it said: {luck.choice(('a plate', 'an empty tray'))}",
        "build the release again, or correct its golden set",
    ),
    lambda luck: (
        f"first token took {luck.uniform(9, 30):.1f} s, this store's bound is 8.0 s",
        "see what else runs on this host, then ovms-edge rollout retry",
    ),
    lambda luck: (
        f"no space on /var/lib/ovms-edge: 9.1 GiB needed, {luck.uniform(1, 8):.1f} GiB free",
        "free space or lower releases_kept",
    ),
    lambda luck: (
        "graph wants device GPU, the server runs on CPU: no render node of group 105",
        "run the role ovms.edge.intel_gpu",
    ),
)
# Where a store ends: its last states, and how many of a thousand stores go there.
WAYS = (
    (("activating", "failed"), 8),
    (("unreachable",), 35),
    (("unreachable", "staged", "activating", "serving"), 30),
    (("late",), 5),
    (("activating", "serving"), 922),
)
# By number, so that a small rollout has some of each too.
ALWAYS = {5: WAYS[0][0], 6: WAYS[1][0]}


def document(stores: int = 10, seed: int = 1, state: str = "running", **changes: Any) -> dict[str, Any]:
    """Return a rollout in waves of a canary, 10 percent and the rest, the last of which has just begun."""
    luck = random.Random(seed)  # noqa: S311  no secret hangs on it
    names = [f"store-{number:0{len(str(stores))}}" for number in range(1, stores + 1)]
    sizes = [min(3, stores), max(1, stores // 10)]
    sizes.append(stores - sum(sizes))
    rows: list[dict[str, Any]] = []
    history: list[dict[str, Any]] = []
    waves: list[dict[str, Any]] = []
    at = BEGAN
    for name, size in zip(("canary", "first-tenth", "rest"), sizes, strict=True):
        last = name == "rest"
        members = [names.pop(0) for _ in range(size)]
        done = members[: size // 2] if last else members
        begun, end = at, at
        for number, store in enumerate(members):
            row, events = (_moved if store in done else _waiting)(luck, store, name, begun, number)
            rows.append(row)
            history += events
            end = max([end, *(_moment(event["at"]) for event in events)])
        history += _wave_events(name, begun, end, last)
        waves.append(_wave(name, members, rows, begun, end, last))
        at = end + timedelta(minutes=30)
    history.sort(key=lambda event: event["at"])
    history.insert(0, _event(BEGAN, None, None, "start", "start", "start by anna: 3 waves"))
    rows += _unsuitable(stores)
    counts = Counter(row["state"] for row in rows)
    failed, late = counts["failed"], counts["late"]
    now = max(_moment(event["at"]) for event in history) + timedelta(seconds=40)
    return {
        "schema": "ovms-edge.rollout-status/1",
        "id": ID,
        "name": "vlm-1.1",
        "release": NEW,
        "state": state,
        "reason": None,
        "started": _text(BEGAN),
        "updated": _text(now),
        "ended": None,
        "elapsed_seconds": (now - BEGAN).total_seconds(),
        "controller": {"host": "control-1", "pid": 4711, "since": _text(BEGAN)},
        "budget": _budget(failed, max(1, stores // 50), late, max(1, stores // 10)),
        "counts": dict(counts),
        "rates": {"stores_per_hour": round(counts["serving"] / 2.5, 1), "seconds_left": 5400.0},
        "waves": waves,
        "stores": sorted(rows, key=lambda row: (row["wave"] is None, row["store"])),
        "history": history,
        **changes,
    }


def store(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the row of a store, to be changed."""
    return next(row for row in document["stores"] if row["store"] == name)


def changed(document: dict[str, Any], name: str, to: str, **values: Any) -> dict[str, Any]:
    """Return the document after one more change of one store's state."""
    after: dict[str, Any] = json.loads(json.dumps(document))
    row = store(after, name)
    at = _moment(after["updated"]) + timedelta(seconds=3)
    after["history"].append(_event(at, name, row["wave"], row["state"], to, values.get("reason")))
    row.update(state=to, since=_text(at), **values)
    after["updated"] = _text(at)
    after["counts"] = dict(Counter(one["state"] for one in after["stores"]))
    for wave in after["waves"]:
        wave["counts"] = dict(Counter(one["state"] for one in after["stores"] if one["wave"] == wave["name"]))
    return after


def _moved(
    luck: random.Random, store: str, wave: str, begun: datetime, number: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    (way,) = luck.choices([way for way, _ in WAYS], [weight for _, weight in WAYS])
    way = ALWAYS.get(int(store.removeprefix("store-")), way)
    row = _row(luck, store, wave)
    states = ["pending", "staging", *(["staged", *way] if way[0] != "unreachable" else way)]
    at = begun + timedelta(seconds=number // 50 * 40 + luck.uniform(0, 30))
    events = []
    for old, new in pairwise(states):
        reason = remedy = None
        if new == "staged":
            row["stage_seconds"] = round(luck.lognormvariate(5.5, 0.7), 1)
            at += timedelta(seconds=row["stage_seconds"])
        elif new in ("serving", "failed"):
            row["activate_seconds"] = round(luck.uniform(38, 95), 1)
            at += timedelta(seconds=row["activate_seconds"])
        if new == "failed":
            reason, remedy = luck.choice(FAILURES)(luck)
        elif new == "unreachable":
            at += timedelta(seconds=10)
            reason, remedy = OFFLINE.format(host=store), "see its link; it is tried again by itself"
        elif new == "late":
            at += timedelta(minutes=20)
            reason, remedy = "told to stage 4 h ago, at 31% now", "see its link, or raise late_after"
        at += timedelta(seconds=luck.uniform(1, 5))
        row.update(reason=reason, remedy=remedy)
        events.append(_event(at, store, wave, old, new, reason))
    state = states[-1]
    row.update(state=state, since=_text(at), attempts=len(states) // 2)
    row["serving"] = NEW if state == "serving" else OLD
    row["expected"] = {"serving": NEW, "failed": OLD}.get(state)
    return row, events


def _waiting(
    luck: random.Random, store: str, wave: str, begun: datetime, number: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    row = _row(luck, store, wave)
    at = begun + timedelta(seconds=luck.uniform(0, 600))
    took = round(luck.lognormvariate(5.5, 0.7), 1)
    row.update(state="staged", since=_text(at), attempts=1, stage_seconds=took)
    return row, [
        _event(at - timedelta(seconds=1), store, wave, "pending", "staging", None),
        _event(at, store, wave, "staging", "staged", None),
    ]


def _row(luck: random.Random, store: str, wave: str | None) -> dict[str, Any]:
    region, timezone = luck.choice(REGIONS)
    return {
        "store": store,
        "wave": wave,
        "state": "pending",
        "since": _text(BEGAN),
        "attempts": 0,
        "reason": None,
        "remedy": None,
        "before": OLD,
        "serving": OLD,
        "expected": None,
        "region": region,
        "hardware": luck.choice(HARDWARE),
        "timezone": timezone,
        "fetch_bytes": int(luck.uniform(380, 760) * (1 << 20)),
        "stage_seconds": None,
        "activate_seconds": None,
    }


def _unsuitable(stores: int) -> Iterable[dict[str, Any]]:
    for number in range(1, stores // 400 + 2):
        row = _row(random.Random(number), f"old-{number:02}", None)  # noqa: S311  no secret hangs on it
        row.update(state="unsuitable", reason="16 GiB of memory: 21.4 GiB needed by this release")
        yield {**row, "fetch_bytes": None, "hardware": "mtl-16"}


def _wave(
    name: str, members: list[str], rows: list[dict[str, Any]], begun: datetime, end: datetime, last: bool
) -> dict[str, Any]:
    counts = Counter(row["state"] for row in rows if row["wave"] == name)
    allowed = len(members) // 20
    return {
        "name": name,
        "state": "running" if last else "done",
        "stores": len(members),
        "counts": dict(counts),
        "started": _text(begun),
        "ended": None if last else _text(end + timedelta(minutes=30)),
        "soak_seconds": 1800.0,
        "soaked_seconds": 0.0 if last else 1800.0,
        "approval": last,
        "approved": {"by": "anna"} if last else None,
        "budget": _budget(counts["failed"], allowed, counts["late"], allowed),
        "waits_for": None,
    }


def _wave_events(name: str, begun: datetime, end: datetime, last: bool) -> list[dict[str, Any]]:
    steps = [(begun, "waiting", "running")]
    if last:
        steps = [(begun - timedelta(seconds=300), "waiting", "held"), (begun, "held", "running")]
    else:
        steps += [(end, "running", "soaking"), (end + timedelta(minutes=30), "soaking", "done")]
    return [_event(at, None, name, old, new, None) for at, old, new in steps]


def _event(
    at: datetime, store: str | None, wave: str | None, old: str, new: str, why: str | None
) -> dict[str, Any]:
    return {"at": _text(at), "store": store, "wave": wave, "from": old, "to": new, "reason": why}


def _budget(failed: int, failed_limit: int, late: int, late_limit: int) -> dict[str, dict[str, int]]:
    return {"failed": {"used": failed, "limit": failed_limit}, "late": {"used": late, "limit": late_limit}}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _text(moment: datetime) -> str:
    return f"{moment.replace(tzinfo=None, microsecond=0).isoformat()}Z"


if __name__ == "__main__":
    print(json.dumps(document(int(sys.argv[1]))))
