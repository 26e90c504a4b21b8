"""Every check, in the order in which they are made: what follows from another comes after it."""

from __future__ import annotations

from ovms_edge.node.doctor.checks import (
    container,
    depot,
    engine,
    gateway,
    gpu,
    graph,
    host,
    image,
    model,
    node,
    repository,
    server,
    units,
)
from ovms_edge.node.doctor.findings import Check

_BEFORE_TEND: tuple[Check, ...] = (
    *node.NODE_CHECKS,
    *host.CHECKS,
    *gpu.CHECKS,
    *depot.CHECKS,
    host.SKEW,
    units.TIMER,
    gateway.SETTINGS,
    engine.CHECKS[0],
    engine.CHECKS[1],
    *node.STATE_CHECKS,
    *engine.CHECKS[2:],
    *gateway.CHECKS,
    *model.RELEASE_CHECKS,
    *model.CHECKS,
    *repository.CHECKS,
    *graph.CHECKS,
    *container.CHECKS,
    *image.CHECKS,
    *server.CHECKS,
    gateway.ROUTE,
    node.STATUS,
    units.FAILED,
)
CHECKS: tuple[Check, ...] = (
    *_BEFORE_TEND,
    units.tend_after(tuple(check.id for check in _BEFORE_TEND if check.severity == "error")),
)
