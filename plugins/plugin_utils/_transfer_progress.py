# SPDX-License-Identifier: Apache-2.0
"""What the action ``release`` shows of plans and transfers, and when. Pure. Private to this collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LINE_POINTS = 5
LINE_SECONDS = 10.0

Document = Mapping[str, Any]

_RUNNING = {"planning", "fetching", "waiting", "paused", "verifying"}
_CUT_SHORT = {
    "failed": ("it gave no reason", "see `ovms-node transfer status` on the host"),
    "gave_up": ("no byte came for too long", "run this again when the link is back: it goes on where it was"),
    "interrupted": ("its process is gone", "run this again: it goes on where it was"),
}


@dataclass
class Progress:
    """When the next line of one store is due: 5 points on, in another state, or 10 s after the last."""

    state: str = ""
    points: int = 0
    fetched: int = 0
    at: float = 0.0

    def due(self, status: Document, now: float) -> bool:
        """Whether to show ``status``, which is then taken for shown; ``now`` in seconds."""
        state, points, fetched = status["state"], percent(status), status.get("fetched_bytes") or 0
        moved = (state, points, fetched) != (self.state, self.points, self.fetched)
        late = moved and now - self.at >= LINE_SECONDS
        if state == self.state and points - self.points < LINE_POINTS and not late:
            return False
        self.state, self.points, self.fetched, self.at = state, points, fetched, now
        return True


def is_running(status: Document) -> bool:
    """Whether the transfer goes on."""
    return status["state"] in _RUNNING


def ending(status: Document, release: str) -> dict[str, Any]:
    """Return the document of a stage of ``release`` that has ended, from its last ``transfer status``."""
    if status["state"] == "idle" or status.get("release") != release:
        there = f"the last one was of {status['release']}" if status.get("release") else "there was none yet"
        return {
            "ok": False,
            "reason": f"no transfer of {release} on this host: {there}",
            "remedy": "start it with `detached: true`, or run playbooks/stage_release.yml",
        }
    result: dict[str, Any] | None = status.get("result")
    if result is not None:
        return result
    reason, remedy = _CUT_SHORT.get(status["state"], _CUT_SHORT["failed"])
    return {
        "ok": False,
        "reason": f"staging {release} {status['state'].replace('_', ' ')}: {status.get('reason') or reason}",
        "remedy": status.get("remedy") or remedy,
    }


def percent(status: Document) -> int:
    """Return how far it is, 0 to 100: of what is fetched, or of what is written if nothing has to be."""
    for done, total in (("fetched_bytes", "fetch_bytes"), ("written_bytes", "bytes")):
        if status.get(total):
            return min(100, 100 * (status.get(done) or 0) // status[total])
    return 100 if status["state"] == "done" else 0


def progress_line(store: str, width: int, release: str, status: Document) -> str:
    """Return the line of a store; the names of stores take ``width`` columns."""
    total = status.get("fetch_bytes") or status.get("bytes")
    rate, left = status.get("rate_now"), status.get("seconds_left")
    running = is_running(status)
    cells = (
        store.ljust(width),
        release,
        f"{percent(status):>3} %",
        f"of {size_text(total) if total else '-':>9}",
        f"{rate_text(rate) if rate and running else '-':>11}",
        f"{f'{duration_text(left)} left' if left is not None and running else '-':>14}",
        status["state"],
    )
    why = status.get("reason") or ""
    return "  ".join(cells) + (f": {why}" if why and status["state"] in ("waiting", "unreachable") else "")


def plan_line(store: str, width: int, plan: Document) -> str:
    """Return what the plan of a release that is not there says of a store."""
    pace = "no rate set"
    if plan.get("seconds") is not None:
        pace = f"about {duration_text(plan['seconds'])}"
    return (
        f"{store.ljust(width)}  {plan['release']}  would fetch {size_text(plan['fetch_bytes'])} "
        f"of {size_text(plan['bytes'])}, {pace}; {size_text(plan['disk_bytes'])} of disk, "
        f"{size_text(plan['free_bytes'])} free"
    )


def file_diff(release: str, files: list[dict[str, Any]]) -> dict[str, str]:
    """Return the diff of a release that is not there: each file, and how it comes."""
    width = max((len(file["path"]) for file in files), default=0)
    lines = [
        f"{file['path'].ljust(width)}  {size_text(file['size']):>9}  {file['how']:<8}"
        f"  {size_text(file['fetch_bytes']):>9} fetched\n"
        for file in files
    ]
    return {
        "before_header": f"{release} (not staged)",
        "after_header": release,
        "before": "",
        "after": "".join(lines),
    }


def size_text(size: float) -> str:
    """Return bytes with a unit that suits them."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def rate_text(rate: float) -> str:
    """Return bytes a second as the links are sold, in bits."""
    bits = rate * 8
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if bits < 1000:
            return f"{bits:.1f} {unit}"
        bits /= 1000
    return f"{bits:.1f} Gbit/s"


def duration_text(seconds: float) -> str:
    """Return whole seconds, minutes or hours."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
