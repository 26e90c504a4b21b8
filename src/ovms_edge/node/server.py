"""The containers in the two slots, as one switch handles them."""

from __future__ import annotations

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.container import (
    CPU_SHARES,
    LOADING_CPU_SHARES,
    RESTART_POLICY,
    STOP_TIMEOUT_SECONDS,
    DesiredServer,
)
from ovms_edge.node.context import Node
from ovms_edge.node.drain import drained
from ovms_edge.node.gate import run_gate
from ovms_edge.node.gate_report import GateReport, Target
from ovms_edge.node.gateway import HOLD, SERVER_PORT
from ovms_edge.node.output import log
from ovms_edge.node.prepare import Places
from ovms_edge.node.releases import staged_release
from ovms_edge.node.settings import parse_server_settings
from ovms_edge.node.slots import SLOTS, Slot, container_name
from ovms_edge.node.state import Deployment
from ovms_edge.node.switching import Found, seen


def find_containers(node: Node) -> Found:
    """Look at both slots and at the route; raises EdgeError for a container of that name that is not ours."""
    names = {slot: container_name(slot) for slot in SLOTS}
    return Found(
        {slot: seen(node.docker.container(name), name) for slot, name in names.items()},
        node.gateway.route(),
    )


def target_of(node: Node, deployment: Deployment) -> Target:
    """Return what the gate holds an earlier deployment against; raises EdgeError if its release is gone."""
    ref = ReleaseRef.parse(deployment.release)
    release = staged_release(node.paths, ref)
    if release is None:
        raise EdgeError(f"{ref} serves but is no longer on this node", f"run ovms-node stage {ref}")
    settings = parse_server_settings(deployment.settings)
    return Target(
        settings,
        release.manifest,
        release.directory,
        int(deployment.summary["cache_size"]),
        deployment.spec,
        container_name(deployment.slot),
        node.gateway.server_url(deployment.slot),
        deployment.devices,
        deployment.container_started,
        deployment.summary.get("tier"),
        deployment.times_on(str(deployment.settings.get("device"))),
    )


class Server:
    """What can be done to the containers in the slots."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def create(self, slot: Slot, desired: DesiredServer, places: Places) -> None:
        """Create the container; it stays down when the host starts until ``vouch`` was called."""
        address = self._node.gateway.slots[slot]
        body = desired.body(places.models, places.cache, places.image, address)
        self._node.docker.create_container(container_name(slot), body)

    def start(self, slot: Slot, beside: bool = False) -> None:
        """Start the container; a running one is left alone.

        ``beside``: its load takes what the one that serves leaves of the processor.
        """
        if beside:
            self._node.docker.set_cpu_shares(container_name(slot), LOADING_CPU_SHARES)
        self._node.docker.start(container_name(slot))

    def end(self, slot: Slot) -> None:
        """Stop the container, in which no request is left, at once."""
        self._node.docker.stop(container_name(slot), 0)

    def stop(self, slot: Slot) -> None:
        """Stop the container, which has a while to end what it does."""
        self._node.docker.stop(container_name(slot), STOP_TIMEOUT_SECONDS)

    def remove(self, slot: Slot) -> None:
        """Remove the container, running or not."""
        self._node.docker.remove(container_name(slot))

    def vouch(self, slot: Slot) -> None:
        """Let the engine start the container with the host, and when its process ends."""
        self._node.docker.set_restart_policy(container_name(slot), RESTART_POLICY)

    def forsake(self, slot: Slot) -> None:
        """Let the engine start the container no more."""
        self._node.docker.set_restart_policy(container_name(slot), "no")

    def hold(self) -> None:
        """Let requests wait in the gateway."""
        self._node.gateway.set_route(HOLD)

    def route_to(self, slot: Slot) -> None:
        """Send requests to ``slot``, those that wait included."""
        self._node.gateway.set_route(slot)

    def drained(self, slot: Slot, seconds: float) -> bool:
        """Wait at most ``seconds`` for the last request in ``slot``; False if there still is one."""
        return drained(self._node.gateway.slots[slot], SERVER_PORT, seconds)

    def end_requests(self, slot: Slot, seconds: float) -> None:
        """Wait for the last request in a slot to which no new ones go; what takes longer is cut later."""
        if not self.drained(slot, seconds):
            log(f"requests to {container_name(slot)} did not end within {seconds:.0f} s: cutting them")

    def gate(self, target: Target, beside: bool = False) -> GateReport:
        """Put a container to the gate; its servable has ``start_timeout_seconds`` to load.

        ``beside``: it was started so, and is asked as an equal of the one that serves. One that does not get
        to load with what the other leaves becomes that earlier.
        """
        equal = not beside

        def hurry() -> None:
            nonlocal equal
            if not equal:
                self._node.docker.set_cpu_shares(target.container, CPU_SHARES)
                equal = True

        return run_gate(self._node.docker, target, target.settings.start_timeout_seconds, hurry=hurry)
