"""Make OVMS serve a staged release: look, decide, then switch with a way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.container import DesiredServer, Host, desired_server
from ovms_edge.node.context import Node
from ovms_edge.node.gate_report import is_available
from ovms_edge.node.generation import is_whole
from ovms_edge.node.gpu import find_gpu
from ovms_edge.node.host import memory_bytes
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.releases import StagedRelease, staged_release, verify_release
from ovms_edge.node.server import find_containers
from ovms_edge.node.settings import ServerSettings, parse_server_settings
from ovms_edge.node.state import Deployment, State, load_state, save_state
from ovms_edge.node.switch import Switch
from ovms_edge.node.switching import Found, Seen, Way, choose_way, settle_steps


@dataclass(frozen=True)
class Request:
    """What is asked for. ``again``: although it failed here before. ``event``: what the journal calls it."""

    ref: ReleaseRef
    settings: ServerSettings
    again: bool = False
    event: str = "activated"


@dataclass(frozen=True)
class Situation:
    """What was found, and what is to be. ``release`` is None where only a check may go on without it."""

    state: State
    release: StagedRelease | None
    desired: DesiredServer | None
    found: Found
    current: Seen | None
    way: Way
    whole: bool = True  # whether the generation, if any is wanted, has the release's own files

    @property
    def nothing_to_do(self) -> bool:
        """Whether what serves is what is wanted, with nothing left over from an interrupted call."""
        settled = not settle_steps(self.state, self.found) and self.state.pending is None
        return settled and self.way is Way.KEEP


def requested_settings(paths: StatePaths, document: object | None) -> ServerSettings:
    """Return the settings given, or those of what is active now if none are."""
    if document is not None:
        return parse_server_settings(document)
    active = load_state(paths.state).active
    if active is None:
        raise UsageError(
            "no server settings, and nothing is active", "give them with --server FILE or --server -"
        )
    return parse_server_settings(active.settings)


def previous_deployment(paths: StatePaths) -> Deployment:
    """Return what rollback goes back to; raises EdgeError if there is nothing."""
    previous = load_state(paths.state).previous
    if previous is None:
        raise EdgeError("nothing was active before", "activate a release by its name instead")
    return previous


def look(node: Node, request: Request, check: bool) -> Situation:
    """Find out what is and what has to be. Reads only, and fast where nothing has to change.

    Raises EdgeError for what cannot be done; a release that is not staged is let pass in a ``check``.
    """
    settings, ref = request.settings, request.ref
    state = load_state(node.paths.state)
    release = staged_release(node.paths, ref)
    if release is None and not check:
        raise EdgeError(f"{ref} is not on this node", f"run ovms-node stage {ref} first")
    desired = None
    if release is not None:
        gpu = find_gpu(node.config.sysfs_root)
        host = Host(memory_bytes()[0], gpu, node.gateway.network)
        desired = desired_server(settings, release.manifest, host)
    found = find_containers(node)
    slot = found.serving_slot(state)
    current = found.containers[slot] if slot else None
    way, whole = Way.SWITCH, True
    if release is not None and desired is not None:
        whole = is_whole(node.paths, desired, release)
        url = node.gateway.server_url(slot) if slot else ""
        available = bool(current and current.running and is_available(url, settings.servable))
        way = choose_way(state, current, desired.spec, available, whole)
    return Situation(state, release, desired, found, current, way, whole)


def activate(node: Node, request: Request, check: bool) -> dict[str, Any]:
    """Do it, or with ``check`` say what would be done; returns the document of ``activate``.

    Raises ActivationError if the gate said no: what served before serves again then.
    """
    situation = look(node, request, check)
    document: dict[str, Any] = {"ok": True, "changed": False, "release": str(request.ref)}
    if situation.nothing_to_do:
        return {**document, **_adopt_settings(node.paths, situation.state, request.settings, check)}
    _refuse_what_failed(situation, request)
    diff = _diff(situation, request.ref)
    if check:
        return {**document, "changed": True, "diff": diff}
    node.gateway.health()
    assert situation.release is not None  # noqa: S101  look() raised
    assert situation.desired is not None  # noqa: S101
    verify_release(situation.release, node.config.trust)
    switch = Switch(node, situation.desired, situation.release, request.event)
    outcome = switch.run(situation.state)
    extra = {"diff": diff} if outcome.changed else {}
    return {
        **document,
        "changed": outcome.changed,
        **extra,
        "tier": outcome.tier,
        "steps": outcome.steps,
        "gate": outcome.gate.document,
    }


def _refuse_what_failed(situation: Situation, request: Request) -> None:
    if situation.desired is None or situation.way is not Way.SWITCH or request.again:
        return
    failure = situation.state.failure_of(situation.desired.spec)
    if failure:
        raise EdgeError(
            f"{request.ref} failed here before, on {failure.at}: {failure.reason}",
            "activate another release, or this one again with --retry",
        )


def _adopt_settings(paths: StatePaths, state: State, settings: ServerSettings, check: bool) -> dict[str, Any]:
    """Remember settings that need no other container, such as the gate's time limits."""
    new, active = settings.document(), state.active
    if active is None or active.settings == new:
        return {}
    if not check:
        save_state(paths.state, replace(state, active=replace(active, settings=new)))
    keys = [key for key in new if active.settings.get(key) != new[key]]
    before = {key: active.settings.get(key) for key in keys}
    return {"changed": True, "diff": {"before": before, "after": {key: new[key] for key in keys}}}


def _diff(situation: Situation, ref: ReleaseRef) -> dict[str, Any]:
    active, desired, current = situation.state.active, situation.desired, situation.current
    after = dict(desired.summary) if desired else {"release": str(ref), "staged": False}
    before: dict[str, Any] = dict(active.summary) if active else {"release": None}
    if active and before == after:
        before |= {"container": current.status if current else None}
        after |= {"container": "running"}
    if active and not situation.whole and active.spec == (desired.spec if desired else ""):
        before |= {"files": "not those of the release"}
        after |= {"files": "those of the release"}
    return {"before": before, "after": after}
