"""``ovms-node gc | pin | unpin``."""

from __future__ import annotations

import argparse

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.config import load_node_config
from ovms_edge.node.keep import clean, plan_cleaning
from ovms_edge.node.lock import exclusive
from ovms_edge.node.options import Document, Parsers, outlive_connection
from ovms_edge.node.output import size_text, table
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.pins import load_pins, save_pin


def add_commands(parsers: Parsers) -> None:
    """Add ``gc``, ``pin`` and ``unpin``."""
    parents = [parsers.common, parsers.changes]
    gc = parsers.commands.add_parser("gc", parents=parents, help="remove releases that are not needed")
    gc.set_defaults(run=_gc, text=_gc_text)
    for name, summary in (("pin", "keep a release here, whatever its age"), ("unpin", "undo pin")):
        parser = parsers.commands.add_parser(name, parents=parents, help=summary)
        parser.add_argument("release", metavar="NAME@VERSION")
        parser.set_defaults(run=_pin, text=_pin_text, pinned=name == "pin")


def _gc(options: argparse.Namespace) -> Document:
    config = load_node_config(options.node_config)
    if options.check:
        return {**plan_cleaning(config).document, "check": True}
    outlive_connection()
    paths = StatePaths(config.state_dir)
    with exclusive(paths.lock, options.wait), exclusive(paths.serve_lock, options.wait):
        cleaning = plan_cleaning(config)
        clean(config, cleaning)
    return cleaning.document


def _pin(options: argparse.Namespace) -> Document:
    config, ref = load_node_config(options.node_config), ReleaseRef.parse(options.release)
    paths = StatePaths(config.state_dir)
    if options.pinned and not paths.release(ref).is_dir():
        raise EdgeError(f"{ref} is not staged here", f"run ovms-node stage {ref} first")
    if options.check:
        changed = (ref in load_pins(paths)) != options.pinned
    else:
        with exclusive(paths.lock, options.wait):
            changed = save_pin(paths, ref, pinned=options.pinned)
    return {"ok": True, "changed": changed, "release": str(ref), "pinned": options.pinned}


def _gc_text(document: Document) -> str:
    rows: list[tuple[str, object]] = [(entry["release"], entry["why"]) for entry in document["kept"]]
    gone = "would go" if document.get("check") else "removed"
    rows += [(release, gone) for release in document["removed"]]
    freed = size_text(document["freed_bytes"])
    return "\n".join(
        filter(None, [table(rows), f"{freed} {'to free' if document.get('check') else 'freed'}"])
    )


def _pin_text(document: Document) -> str:
    state = "pinned" if document["pinned"] else "not pinned"
    return f"{document['release']}: {state}{'' if document['changed'] else ', as before'}"
