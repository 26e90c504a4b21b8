"""``ovms-node stage``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.bundle import Bundle
from ovms_edge.node.config import NodeConfig, load_node_config
from ovms_edge.node.depot import Depot
from ovms_edge.node.detach import start_detached
from ovms_edge.node.docker import Docker
from ovms_edge.node.images import ImagePlan, apply_image, plan_image
from ovms_edge.node.keep import clean_up
from ovms_edge.node.lock import exclusive
from ovms_edge.node.options import Document, Parsers, outlive_connection
from ovms_edge.node.output import size_text, table
from ovms_edge.node.pace import Pace, Unhurried
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.source import Source
from ovms_edge.node.stage import apply_stage
from ovms_edge.node.stage_plan import StagePlan, check_space, plan_stage
from ovms_edge.node.texts import change_text
from ovms_edge.node.transfer import Transfer


def add_commands(parsers: Parsers) -> None:
    """Add ``stage``."""
    parents = [parsers.common, parsers.changes]
    stage = parsers.commands.add_parser("stage", parents=parents, help="fetch and verify a release")
    stage.add_argument("release", metavar="NAME@VERSION")
    stage.add_argument("--plan", action="store_true", help="say what would be fetched, and from where")
    stage.add_argument("--bundle", type=Path, metavar="DIR", help="from this directory and no depot")
    stage.add_argument("--image", metavar="HOST:PORT/REPOSITORY@sha256:...", help="have this image, too")
    stage.add_argument("--detach", action="store_true", help="do it in a systemd unit, answer at once")
    stage.add_argument("--verify", action="store_true", help="read every byte of what is here already")
    stage.set_defaults(run=_stage, text=_text)


def _stage(options: argparse.Namespace) -> Document:
    config, ref = load_node_config(options.node_config), ReleaseRef.parse(options.release)
    if options.check or options.plan:
        source = _source(config, Unhurried(), options.bundle)
        plan = plan_stage(config, source, ref, read_every_byte=options.verify)
        return {**_document(plan, _image_plan(config, source, options.image)), "check": True}
    if options.detach:
        return start_detached(config, ref, _arguments(options), options.wait)
    outlive_connection()
    with exclusive(StatePaths(config.state_dir).lock, options.wait), Transfer(config, ref) as transfer:
        source = _source(config, transfer, options.bundle)
        plan = plan_stage(config, source, ref, read_every_byte=options.verify, keep=True)
        image = _image_plan(config, source, options.image)
        transfer.begin(
            sum(file.fetch_bytes for file in plan.files) + (image.fetch_bytes if image else 0),
            plan.manifest.total_bytes + (image.size if image else 0),
        )
        apply_stage(config, source, plan, transfer)
        if image:
            apply_image(Docker(), StatePaths(config.state_dir), source, image, transfer.wrote)
        clean_up(config, ref)
        document = _document(plan, image)
        transfer.end(document)
    return document


def _source(config: NodeConfig, pace: Pace, bundle: Path | None) -> Source:
    return Bundle(bundle) if bundle else Depot(config, pace)


def _image_plan(config: NodeConfig, source: Source, reference: str | None) -> ImagePlan | None:
    if reference is None:
        return None
    plan = plan_image(Docker(), StatePaths(config.state_dir), source, reference)
    # twice: the blobs, and what the engine makes of them
    check_space(config.state_dir, 2 * plan.fetch_bytes, reference)
    return plan


def _document(plan: StagePlan, image: ImagePlan | None) -> Document:
    """Return the document of the release, with what the image adds."""
    document = plan.document
    if image is None:
        return document
    fetch_bytes = document["fetch_bytes"] + image.fetch_bytes
    document |= {
        "image": image.document,
        "changed": document["changed"] or image.image is not None,
        "fetch_bytes": fetch_bytes,
        "disk_bytes": document["disk_bytes"] + 2 * image.fetch_bytes,
        "seconds": round(fetch_bytes / plan.rate, 1) if plan.rate else None,
    }
    if image.image is not None:
        before, after = document.get("diff", {"before": {}, "after": {}}).values()
        document["diff"] = {
            "before": {**before, "image": None},
            "after": {**after, "image": str(image.ref)},
        }
    return document


def _arguments(options: argparse.Namespace) -> list[str]:
    """Return the same call without ``--detach``."""
    verify = ["--verify"] if options.verify else []
    bundle = [f"--bundle={options.bundle.absolute()}"] if options.bundle else []
    image = [f"--image={options.image}"] if options.image else []
    return [
        *("stage", options.release, f"--node-config={options.node_config.absolute()}"),
        *(f"--wait={options.wait}", *verify, *bundle, *image),
    ]


def _text(document: Document) -> str:
    if document.get("detached"):
        return f"{document['release']}: staged by {document['unit']}; see ovms-node transfer status"
    if not document.get("check") or not document["files"]:
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
