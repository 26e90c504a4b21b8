"""Make OVMS serve a staged release: look, decide, then switch with a way back."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from typing import Any

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.container import DesiredServer, Host, desired_server
from ovms_edge.node.docker import Docker
from ovms_edge.node.gate_report import Target, is_available
from ovms_edge.node.generation import is_whole
from ovms_edge.node.gpu import find_gpu
from ovms_edge.node.host import memory_bytes
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.releases import StagedRelease, staged_release, verify_release
from ovms_edge.node.settings import ServerSettings, parse_server_settings
from ovms_edge.node.state import Deployment, State, load_state, save_state
from ovms_edge.node.switch import Switch
from ovms_edge.node.switching import Seen, Way, aside_name, choose_way, seen, settle_steps


@dataclass(frozen=True)
class Situation:
    """What was found, and what is to be. ``release`` is None where only a check may go on without it."""

    state: State
    release: StagedRelease | None
    desired: DesiredServer | None
    current: Seen | None
    aside: Seen | None
    way: Way
    whole: bool = True  # whether the generation, if any is wanted, has the release's own files

    @property
    def nothing_to_do(self) -> bool:
        """Whether what serves is what is wanted, with nothing left over from an interrupted call."""
        settled = not settle_steps(self.state, self.current, self.aside) and self.state.pending is None
        return settled and self.way is Way.KEEP


def requested_settings(config: NodeConfig, document: object | None) -> ServerSettings:
    """Return the settings given, or those of what is active now if none are."""
    if document is not None:
        return parse_server_settings(document)
    active = load_state(StatePaths(config.state_dir).state).active
    if active is None:
        raise UsageError(
            "no server settings, and nothing is active", "give them with --server FILE or --server -"
        )
    return parse_server_settings(active.settings)


def previous_deployment(config: NodeConfig) -> Deployment:
    """Return what rollback goes back to; raises EdgeError if there is nothing."""
    previous = load_state(StatePaths(config.state_dir).state).previous
    if previous is None:
        raise EdgeError("nothing was active before", "activate a release by its name instead")
    return previous


def look(
    config: NodeConfig, docker: Docker, ref: ReleaseRef, settings: ServerSettings, check: bool
) -> Situation:
    """Find out what is and what has to be. Reads only, and fast where nothing has to change.

    Raises EdgeError for what cannot be done; a release that is not staged is let pass in a ``check``.
    """
    paths = StatePaths(config.state_dir)
    state = load_state(paths.state)
    release = staged_release(paths, ref)
    if release is None and not check:
        raise EdgeError(f"{ref} is not on this node", f"run ovms-node stage {ref} first")
    desired = None
    if release is not None:
        host = Host(memory_bytes()[0], find_gpu(config.sysfs_root))
        desired = desired_server(settings, release.manifest, host)
    _require_same_container(docker, state, settings)
    current = seen(docker.container(settings.container), settings.container)
    aside = seen(docker.container(aside_name(settings.container)), aside_name(settings.container))
    way, whole = Way.SWITCH, True
    if release is not None and desired is not None:
        whole = is_whole(paths, desired, release)
        available = bool(current and current.running and is_available(settings))
        way = choose_way(state, current, desired.spec, available, whole)
    return Situation(state, release, desired, current, aside, way, whole)


def activate(
    config: NodeConfig, docker: Docker, ref: ReleaseRef, settings: ServerSettings, check: bool
) -> dict[str, Any]:
    """Do it, or with ``check`` say what would be done; returns the document of ``activate``.

    Raises ActivationError if the gate said no: what served before serves again then.
    """
    situation = look(config, docker, ref, settings, check)
    document: dict[str, Any] = {"ok": True, "changed": False, "release": str(ref)}
    if situation.nothing_to_do:
        return {**document, **_adopt_settings(config, situation.state, settings, check)}
    running = [entry for entry in (situation.current, situation.aside) if entry and entry.running]
    if not any(settings.port in entry.ports for entry in running):
        _require_free_port(docker, settings)
    diff = _diff(situation, ref)
    if check:
        return {**document, "changed": True, "diff": diff}
    assert situation.release is not None  # noqa: S101  look() raised
    assert situation.desired is not None  # noqa: S101
    verify_release(situation.release, config.trust)
    target = Target(
        settings,
        situation.release.manifest,
        situation.release.directory,
        situation.desired.memory.cache_size_gib,
        situation.desired.spec,
        tier=situation.desired.memory.tier,
        last_good=situation.state.active.times_on(settings.device) if situation.state.active else {},
    )
    switch = Switch(config, docker, situation.desired, situation.release, target)
    outcome = switch.run(situation.state)
    extra = {"diff": diff} if outcome.changed else {}
    return {**document, "changed": outcome.changed, **extra, "gate": outcome.gate.document}


def _adopt_settings(
    config: NodeConfig, state: State, settings: ServerSettings, check: bool
) -> dict[str, Any]:
    """Remember settings that need no other container, such as the gate's time limits."""
    new, active = settings.document(), state.active
    if active is None or active.settings == new:
        return {}
    if not check:
        save_state(StatePaths(config.state_dir).state, replace(state, active=replace(active, settings=new)))
    keys = [key for key in new if active.settings.get(key) != new[key]]
    before = {key: active.settings.get(key) for key in keys}
    return {"changed": True, "diff": {"before": before, "after": {key: new[key] for key in keys}}}


def _require_same_container(docker: Docker, state: State, settings: ServerSettings) -> None:
    old = state.active.settings["container"] if state.active else settings.container
    if old != settings.container and docker.container(old) is not None:
        raise EdgeError(
            f"container {old} serves on this node, the settings name it {settings.container}",
            f"keep the name, or remove the old one first (docker rm -f {old})",
        )


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


def _require_free_port(docker: Docker, settings: ServerSettings) -> None:
    """Refuse a port that someone else listens on, before anything stops."""
    family = socket.AF_INET6 if ":" in settings.bind_address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.bind_address, settings.port))
        except OSError as error:
            holders = docker.publishers(settings.port)
            by = f" (container {', '.join(holders)})" if holders else ""
            raise EdgeError(
                f"{settings.bind_address}:{settings.port} cannot be used: {error.strerror}{by}",
                "set another port or bind_address, or end what listens there (ss -ltnp)",
            ) from error
