"""``ovms-edge release build | sign | publish | inspect | diff``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ovms_edge.errors import UsageError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.ovms.fields import DEFAULT_OVMS_VERSION
from ovms_edge.release import bundle_commands, record_command, trust_commands
from ovms_edge.release.options import Subparsers, add_command, add_depot, open_depot_of

# Each command imports its work when it runs: `build` needs protobuf, `publish` has to stay small.


def add_group(groups: Subparsers) -> None:
    """Add ``release`` and its commands."""
    group = groups.add_parser("release", help="build, sign, publish and inspect model releases")
    commands = group.add_subparsers(metavar="COMMAND", required=True)
    _add_build(commands)
    _add_sign(commands)
    _add_publish(commands)
    _add_inspect(commands)
    _add_diff(commands)
    trust_commands.add_commands(commands)
    bundle_commands.add_commands(commands)
    record_command.add_command_to(commands)


def _add_build(commands: Subparsers) -> None:
    parser = add_command(
        commands,
        "build",
        "make an immutable release of an exported model",
        "--model models/vlm --release vlm-int8@1.0.0 --output releases",
    )
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="what export_model.py wrote")
    parser.add_argument("--release", required=True, metavar="NAME@VERSION")
    parser.add_argument(
        "--output", type=Path, default=Path("releases"), metavar="DIR", help="default: releases"
    )
    parser.add_argument(
        "--ovms-version",
        nargs="+",
        default=[DEFAULT_OVMS_VERSION],
        metavar="VERSION",
        help=f"OVMS versions it is meant for (default: {DEFAULT_OVMS_VERSION})",
    )
    parser.add_argument(
        "--residuals",
        type=_count,
        default=2,
        metavar="N",
        help="make residuals against the last N releases of this name in the output (default: 2)",
    )
    parser.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="and against the release in DIR (may be given again)",
    )
    parser.add_argument(
        "--golden", type=Path, metavar="DIR", help="what every node asks before it serves it (docs/golden.md)"
    )
    parser.add_argument("--verbose", action="store_true", help="a line for each file")
    parser.set_defaults(run=_build)


def _add_sign(commands: Subparsers) -> None:
    parser = add_command(
        commands,
        "sign",
        "sign a built release with an SSH key",
        "releases/vlm-int8/1.0.0 --key ~/.ssh/release_key",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="OUTPUT/NAME/VERSION of a build")
    parser.add_argument(
        "--key", type=Path, required=True, help="private key, or the public half of one in the SSH agent"
    )
    parser.set_defaults(run=_sign)


def _add_publish(commands: Subparsers) -> None:
    parser = add_command(
        commands,
        "publish",
        "upload a signed release to a depot (any OCI registry)",
        "releases/vlm-int8/1.0.0 --depot https://depot.example:5000 --ca depot-ca.pem",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="OUTPUT/NAME/VERSION of a build")
    add_depot(parser, required=True)
    parser.add_argument("--verbose", action="store_true", help="a line for each file")
    parser.set_defaults(run=_publish)


def _add_inspect(commands: Subparsers) -> None:
    parser = add_command(
        commands,
        "inspect",
        "show what a release is, and who signed it",
        "vlm-int8@1.0.0 --depot https://depot.example:5000",
    )
    parser.add_argument("release", metavar="DIR|NAME@VERSION", help="a name needs --depot")
    add_depot(parser, required=False)
    parser.add_argument("--allowed-signers", type=Path, metavar="FILE", help="say who in FILE signed it")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.set_defaults(run=_inspect)


def _add_diff(commands: Subparsers) -> None:
    parser = add_command(
        commands,
        "diff",
        "say what a node that has A fetches for B, file by file, and which tensors differ",
        "vlm-int8@1.0.0 releases/vlm-int8/1.1.0 --depot https://depot.example:5000",
    )
    parser.add_argument("before", metavar="A", help="DIR, or NAME@VERSION with --depot")
    parser.add_argument("after", metavar="B")
    add_depot(parser, required=False)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.set_defaults(run=_diff)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _build(options: argparse.Namespace) -> None:
    from ovms_edge.release.build import build_release
    from ovms_edge.release.golden import read_golden
    from ovms_edge.release.inspect import human_bytes

    ref = ReleaseRef.parse(options.release)
    built = build_release(
        options.model,
        ref,
        options.output,
        tuple(options.ovms_version),
        residuals=options.residuals,
        against=options.against,
        golden=read_golden(options.golden) if options.golden else None,
        verbose=options.verbose,
    )
    if options.verbose:
        for path, reason in sorted(built.content.excluded.items()):
            sys.stderr.write(f"leave out {path}: {reason}\n")
    if not built.manifest.golden:
        sys.stderr.write("note: no --golden, so nodes only ask whether it answers, not what\n")
    if not built.manifest.source:
        sys.stderr.write(f"note: no export.json in {options.model}, so the release does not say its source\n")
    size = human_bytes(built.manifest.total_bytes)
    state = "built" if built.new else "already built, same content"
    print(f"{ref} {state}: {len(built.manifest.files)} files, {size}, in {built.directory}")


def _sign(options: argparse.Namespace) -> None:
    from ovms_edge.release.sign import sign_release

    signer, new = sign_release(options.directory, options.key)
    print(f"{'signed' if new else 'already signed'} by {signer.key_type} {signer.fingerprint}")


def _publish(options: argparse.Namespace) -> None:
    from ovms_edge.release.inspect import human_bytes
    from ovms_edge.release.publish import publish_release

    done = publish_release(options.directory, open_depot_of(options), options.verbose)
    state = "published" if done.new else "already published"
    sent = human_bytes(done.uploaded_bytes)
    print(f"{done.ref} {state}: {done.digest}, {sent} of {human_bytes(done.total_bytes)} uploaded")


def _inspect(options: argparse.Namespace) -> None:
    from ovms_edge.release.inspect import inspect_depot, inspect_directory, to_json, to_text

    if options.depot:
        ref = ReleaseRef.parse(options.release)
        found = inspect_depot(ref, open_depot_of(options), options.allowed_signers)
    elif "@" in options.release and not Path(options.release).exists():
        raise UsageError(f"{options.release} is in a depot", "say which with --depot URL")
    else:
        found = inspect_directory(Path(options.release), options.allowed_signers)
    render = to_json if options.json else to_text
    sys.stdout.write(render(found, options.allowed_signers is not None))


def _diff(options: argparse.Namespace) -> None:
    from ovms_edge.release.described import opened
    from ovms_edge.release.diff import compare, to_json, to_text

    depot = (options.depot, options.ca, options.credentials)
    with opened(options.before, *depot) as before, opened(options.after, *depot) as after:
        found = compare(before, after)
    sys.stdout.write((to_json if options.json else to_text)(found))
