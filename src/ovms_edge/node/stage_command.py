"""``ovms-node stage``."""

from __future__ import annotations

import argparse

from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.config import NodeConfig, load_node_config
from ovms_edge.node.depot import Depot
from ovms_edge.node.detach import start_detached
from ovms_edge.node.keep import clean_up
from ovms_edge.node.lock import exclusive
from ovms_edge.node.options import Document, Parsers, outlive_connection
from ovms_edge.node.output import size_text, table
from ovms_edge.node.pace import Pace, Unhurried
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.source import Source
from ovms_edge.node.stage import apply_stage
from ovms_edge.node.stage_plan import plan_stage
from ovms_edge.node.texts import change_text
from ovms_edge.node.transfer import Transfer


def add_commands(parsers: Parsers) -> None:
    """Add ``stage``."""
    parents = [parsers.common, parsers.changes]
    stage = parsers.commands.add_parser("stage", parents=parents, help="fetch and verify a release")
    stage.add_argument("release", metavar="NAME@VERSION")
    stage.add_argument("--plan", action="store_true", help="say what would be fetched, and from where")
    stage.add_argument("--detach", action="store_true", help="do it in a systemd unit, answer at once")
    stage.add_argument("--verify", action="store_true", help="read every byte of what is here already")
    stage.set_defaults(run=_stage, text=_text)


def _stage(options: argparse.Namespace) -> Document:
    config, ref = load_node_config(options.node_config), ReleaseRef.parse(options.release)
    if options.check or options.plan:
        plan = plan_stage(config, _source(config, Unhurried()), ref, read_every_byte=options.verify)
        return {**plan.document, "check": True}
    if options.detach:
        return start_detached(config, ref, _arguments(options))
    outlive_connection()
    with exclusive(StatePaths(config.state_dir).lock, options.wait), Transfer(config, ref) as transfer:
        source = _source(config, transfer)
        plan = plan_stage(config, source, ref, read_every_byte=options.verify, keep=True)
        transfer.begin(sum(file.fetch_bytes for file in plan.files), plan.manifest.total_bytes)
        apply_stage(config, source, plan, transfer)
        clean_up(config)
        transfer.end(plan.document)
    return plan.document


def _source(config: NodeConfig, pace: Pace) -> Source:
    return Depot(config, pace)


def _arguments(options: argparse.Namespace) -> list[str]:
    """Return the same call without ``--detach``."""
    verify = ["--verify"] if options.verify else []
    return [
        *("stage", options.release, f"--node-config={options.node_config.absolute()}"),
        *(f"--wait={options.wait}", *verify),
    ]


def _text(document: Document) -> str:
    if document.get("detached"):
        return f"{document['release']}: staged by {document['unit']}; see ovms-node transfer status"
    if not document.get("check") or not document["changed"]:
        return change_text(document)
    width = max(len(file["path"]) for file in document["files"])
    files = [
        f"{file['path']:<{width}}  {size_text(file['size']):>9}  {file['how']:<8}  "
        f"{size_text(file['fetch_bytes']):>9}"
        for file in document["files"]
    ]
    rate = "no limit" if document["rate"] is None else f"{document['rate'] * 8 / 1e6:g} Mbit/s"
    return "\n".join(
        [
            f"{'file':<{width}}  {'size':>9}  {'how':<8}  {'fetched':>9}",
            *files,
            "",
            table(
                [
                    ("fetch", f"{size_text(document['fetch_bytes'])} of {size_text(document['bytes'])}"),
                    ("from", ", ".join(document["sources"])),
                    (
                        "disk",
                        f"{size_text(document['disk_bytes'])}, {size_text(document['free_bytes'])} free",
                    ),
                    ("rate", rate),
                    ("time", f"{document['seconds']:g} s" if document["seconds"] is not None else None),
                ]
            ),
        ]
    )
