"""``ovms-edge release export-bundle``."""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import urlsplit

from ovms_edge.errors import UsageError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.release.options import Subparsers, add_command, add_depot, open_depot_of


def add_commands(commands: Subparsers) -> None:
    """Add ``export-bundle``."""
    parser = add_command(
        commands,
        "export-bundle",
        "write a release to a directory for stores that reach no depot",
        "vlm-int8@1.0.0 --depot https://depot.example:5000 --output /media/stick/bundle",
    )
    parser.add_argument("release", metavar="NAME@VERSION")
    add_depot(parser, required=True)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="may hold others already")
    parser.add_argument(
        "--image", metavar="HOST:PORT/REPOSITORY@sha256:...", help="and this image of the same depot"
    )
    parser.add_argument("--verbose", action="store_true", help="a line for each blob")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    from ovms_edge.image_layout import ImageRef
    from ovms_edge.release.bundle import export_bundle
    from ovms_edge.release.described import source_of
    from ovms_edge.release.inspect import human_bytes

    ref = ReleaseRef.parse(options.release)
    image = ImageRef.parse(options.image) if options.image else None
    if image and image.registry != urlsplit(options.depot).netloc:
        raise UsageError(f"{image} is not in the depot {options.depot}", "push it there first")
    source = source_of(options.depot, options.ca, options.credentials)
    done = export_bundle(ref, open_depot_of(options), source, options.output, image, options.verbose)
    what = f"{ref}{f' and {image}' if image else ''}"
    size = f"{human_bytes(done.total_bytes)}, {human_bytes(done.fetched_bytes)} of it fetched"
    print(f"{what} in {done.directory}: {size}")
