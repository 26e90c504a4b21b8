# SPDX-License-Identifier: Apache-2.0
"""What ``survey_stores.yml`` writes down of each store. Private to this collection."""

from __future__ import annotations

from typing import Any

SCHEMA = "ovms-edge.survey/1"
_NO_TOOL = ("ovms-node is not installed", "run playbooks/prepare_hosts.yml on it")
_CRASHED = "Task failed: "
_LOOK = "see the store's task result, and ask it again"


def surveyed(
    facts: dict[str, Any] | None, staged: dict[str, Any] | None, refusal: dict[str, Any] | None
) -> dict[str, Any]:
    """Return a store's entry: its facts, what M(ovms.edge.release) said in check mode, and what failed.

    Each is None where the store did not come to that.
    """
    for answer in (facts, staged):
        if answer and answer.get("unreachable"):
            reason = str(answer.get("msg", "no answer from the host")).removeprefix(_CRASHED).strip()
            return _entry(reached=False, reason=reason, remedy="check its link")
    node = ((facts or {}).get("ansible_facts") or {}).get("ovms_node") or {}
    serving = (node.get("active") or {}).get("release")
    if refusal is not None:
        return _refused(refusal, serving)
    if staged is None:
        return _entry(reached=False, reason="not asked: it was lost earlier in this run", remedy=_LOOK)
    if "fetch_bytes" not in staged:
        reason, remedy = _NO_TOOL
        return _entry(suitable=False, reason=reason, remedy=remedy, serving=serving)
    return _entry(
        suitable=True, fetch_bytes=staged["fetch_bytes"], seconds=staged.get("seconds"), serving=serving
    )


def summary(stores: dict[str, dict[str, Any]], release: str) -> list[str]:
    """Return what to show of all stores: who cannot, who does not say, and a line that counts."""
    wrong = [
        f"{name}: {said['reason']}; {said['remedy']}" for name, said in stores.items() if not said["suitable"]
    ]
    able = sum(said["suitable"] is True for said in stores.values())
    cannot = sum(said["suitable"] is False for said in stores.values())
    lost = sum(not said["reached"] for said in stores.values())
    counts = f"{cannot} cannot, {lost} not reached, {len(stores) - able - cannot - lost} not known"
    return [*wrong, *([""] if wrong else []), f"{able} of {len(stores)} stores can take {release}; {counts}"]


def _refused(refusal: dict[str, Any], serving: str | None) -> dict[str, Any]:
    """Return the entry of a store on which something failed: by its answer, if that says anything of it."""
    said = str(refusal.get("reason") or refusal.get("msg") or "no reason given").strip()
    undecided = bool(refusal.get("busy") or refusal.get("slow") or said.startswith(_CRASHED))
    reason, remedy = said.removeprefix(_CRASHED).strip(), refusal.get("remedy")
    if not remedy and not undecided:
        reason, _, remedy = reason.rpartition("; ")  # as roles write it
    return _entry(
        suitable=None if undecided else False,
        reason=reason or remedy,
        remedy=remedy if reason and remedy else _LOOK,
        serving=serving,
    )


def _entry(
    *,
    reached: bool = True,
    suitable: bool | None = None,
    reason: str | None = None,
    remedy: str | None = None,
    fetch_bytes: int | None = None,
    seconds: float | None = None,
    serving: str | None = None,
) -> dict[str, Any]:
    return {
        "reached": reached,
        "suitable": suitable,
        "reason": reason,
        "remedy": remedy,
        "fetch_bytes": fetch_bytes,
        "seconds": seconds,
        "serving": serving,
    }
