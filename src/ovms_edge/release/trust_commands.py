"""``ovms-edge release verify | list | revoke | pin | unpin``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from ovms_edge.errors import UsageError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.release.options import Subparsers, add_command, add_depot, open_depot_of


def add_commands(commands: Subparsers) -> None:
    """Add the commands about whom and what to trust."""
    _add_verify(commands)
    _add_list(commands)
    example = "vlm-int8@1.0.0 --key ~/.ssh/release_key --depot https://depot.example:5000"
    revoke = _add_change(
        commands, "revoke", "withdraw a release: no node stages or activates it", example, _revoke
    )
    revoke.add_argument("--reason", required=True, metavar="TEXT", help="what operators will read")
    _add_change(commands, "pin", "have every node keep a release that it has", example, _pin)
    _add_change(commands, "unpin", "undo pin", example, _unpin)


def _add_verify(commands: Subparsers) -> None:
    parser = add_command(
        commands,
        "verify",
        "check signature, status and every byte of a release",
        "vlm-int8@1.0.0 --depot https://depot.example:5000 --allowed-signers allowed_signers",
    )
    parser.add_argument("release", metavar="DIR|NAME@VERSION", help="a name needs --depot")
    add_depot(parser, required=False)
    parser.add_argument(
        "--allowed-signers", type=Path, required=True, metavar="FILE", help="see ssh-keygen(1)"
    )
    parser.add_argument("--revoked-signers", type=Path, metavar="FILE", help="keys that count no more")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--verbose", action="store_true", help="a line for each file")
    parser.set_defaults(run=_verify)


def _add_list(commands: Subparsers) -> None:
    parser = add_command(
        commands, "list", "list the releases in a depot", "vlm-int8 --depot https://depot.example:5000"
    )
    parser.add_argument("name", metavar="NAME")
    add_depot(parser, required=True)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.set_defaults(run=_list)


def _add_change(
    commands: Subparsers, name: str, summary: str, example: str, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    parser = add_command(commands, name, summary, example)
    parser.add_argument("release", metavar="NAME@VERSION")
    parser.add_argument("--key", type=Path, required=True, help="as for `release sign`")
    add_depot(parser, required=True)
    parser.set_defaults(run=run)
    return parser


def _verify(options: argparse.Namespace) -> None:
    from ovms_edge.node.config import DepotServer, Trust
    from ovms_edge.release.credentials import default_credentials_file
    from ovms_edge.release.inspect import human_bytes
    from ovms_edge.release.verify import verify_depot, verify_directory

    trust = Trust(options.allowed_signers, options.revoked_signers)
    if options.depot:
        path = options.credentials or default_credentials_file()
        server = DepotServer(
            options.depot, options.ca, path if options.credentials or path.is_file() else None
        )
        found = verify_depot(ReleaseRef.parse(options.release), server, trust, options.verbose)
    elif "@" in options.release and not Path(options.release).exists():
        raise UsageError(f"{options.release} is in a depot", "say which with --depot URL")
    else:
        found = verify_directory(Path(options.release), trust, options.verbose)
    ref = found.manifest.ref
    revoked = found.status.revocation(ref.version) if found.status else None
    if options.json:
        document = {
            "release": str(ref),
            "signer": found.signer,
            "bytes": found.bytes_read,
            "status_serial": found.status.serial if found.status else None,
            "revoked": asdict(revoked) if revoked else None,
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        print(f"{ref} verified: {human_bytes(found.bytes_read)}, signed by {found.signer}")
        if revoked:
            print(f"REVOKED on {revoked.at}: {revoked.reason}")
    if revoked:
        sys.exit(1)


def _list(options: argparse.Namespace) -> None:
    from ovms_edge.release.listing import list_releases, to_json, to_text

    ReleaseRef.parse(f"{options.name}@0")
    found = list_releases(open_depot_of(options), options.name)
    sys.stdout.write((to_json if options.json else to_text)(found))


def _revoke(options: argparse.Namespace) -> None:
    from ovms_edge.release.status import revoke_release

    ref, depot = ReleaseRef.parse(options.release), open_depot_of(options)
    if depot.get_manifest(ref) is None:
        sys.stderr.write(f"note: depot {depot.url} has no {ref}; it is revoked all the same\n")
    print(revoke_release(depot, ref, options.reason, options.key))


def _pin(options: argparse.Namespace) -> None:
    _change_pin(options, pinned=True)


def _unpin(options: argparse.Namespace) -> None:
    _change_pin(options, pinned=False)


def _change_pin(options: argparse.Namespace, *, pinned: bool) -> None:
    from ovms_edge.release.status import change_status

    ref = ReleaseRef.parse(options.release)
    issued = change_status(
        open_depot_of(options),
        ref.name,
        options.key,
        lambda status: status.pinning(ref.version, pinned=pinned),
    )
    state = "pinned" if pinned else "not pinned"
    print(f"{ref} {state}{'' if issued.new else ', as before'}, serial {issued.status.serial}")
