"""What a node does by itself, at boot and every half a minute: see that what is active serves."""

from __future__ import annotations

from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.alias import ensure_alias
from ovms_edge.node.context import Node
from ovms_edge.node.settle import settle
from ovms_edge.node.state import load_state


def tend(node: Node) -> dict[str, Any]:
    """Settle what was interrupted, bring back what is active; returns the document of ``tend``."""
    settled = settle(node, load_state(node.paths.state))
    active = settled.state.active
    started = ensure_alias(node.docker, node.gateway.apps) if active else False
    document: dict[str, Any] = {
        "ok": True,
        "changed": bool(settled.steps) or started,
        "settled": [step.name.lower() for step in settled.steps],
        "active": active.release if active else None,
    }
    if active and settled.lacking:
        raise EdgeError(
            f"the container of {active.release} is gone", f"call ovms-node activate {active.release}"
        )
    if settled.gate and not settled.gate.ok:
        reason, remedy = settled.gate.failure or ("", "")
        return {**document, "ok": False, "reason": reason, "remedy": remedy, "gate": settled.gate.document}
    return document
