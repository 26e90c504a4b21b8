"""Releases that this node has to keep, as its operator said."""

from __future__ import annotations

import json

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.files import write_atomic
from ovms_edge.node.paths import StatePaths


def load_pins(paths: StatePaths) -> frozenset[ReleaseRef]:
    """Return the pinned releases; raises EdgeError if the file is damaged: nothing may be removed then."""
    try:
        return frozenset(ReleaseRef.parse(text) for text in json.loads(paths.pins.read_bytes())["pins"])
    except FileNotFoundError:
        return frozenset()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EdgeError(
            f"{paths.pins} is damaged: {error}", "remove it, then pin again what has to stay"
        ) from error


def save_pin(paths: StatePaths, ref: ReleaseRef, *, pinned: bool) -> bool:
    """Pin or unpin; returns whether that changed anything."""
    before = load_pins(paths)
    after = before | {ref} if pinned else before - {ref}
    if after != before:
        document = {"pins": sorted(map(str, after))}
        write_atomic(paths.pins, json.dumps(document).encode() + b"\n", 0o644)
    return after != before
