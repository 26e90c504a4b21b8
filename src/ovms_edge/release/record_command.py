"""``ovms-edge release record``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.golden import DEFAULT_MAX_TOKENS, Case
from ovms_edge.release.options import Subparsers, add_command

if TYPE_CHECKING:
    from ovms_edge.ovms.client import OvmsClient

_REST_TIMEOUT_SECONDS = 10.0


def add_command_to(commands: Subparsers) -> None:
    """Add ``record``."""
    parser = add_command(
        commands,
        "record",
        "ask a running server a golden set's questions, and write down its answers",
        "golden --url http://127.0.0.1:8002 --prompt 'Which items are on the tray?'",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="golden.json and images, or images alone")
    parser.add_argument("--url", required=True, help="the server, such as http://127.0.0.1:8002")
    parser.add_argument("--servable", metavar="NAME", help="default: the only one that the server lists")
    parser.add_argument("--prompt", metavar="TEXT", help="make the set: this question, of every image in DIR")
    parser.add_argument(
        "--max-tokens",
        type=int,
        default=DEFAULT_MAX_TOKENS,
        metavar="N",
        help="with --prompt; default: %(default)s",
    )
    parser.add_argument(
        "--latency-factor", type=float, metavar="F", help="also bound times, at F times what is measured now"
    )
    parser.add_argument(
        "--timeout", type=float, default=360, metavar="SECONDS", help="for one answer; default: %(default)g"
    )
    parser.add_argument("--ca", type=Path, metavar="FILE", help="CA of the server, in PEM")
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help="its first line is the API key")
    parser.set_defaults(run=_record)


def _record(options: argparse.Namespace) -> None:
    from ovms_edge.ovms.client import OvmsClient
    from ovms_edge.release.golden import GOLDEN_FILE, read_golden
    from ovms_edge.release.record import Asking, record_golden, set_of_images

    for name in ("max_tokens", "latency_factor", "timeout"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise UsageError(f"--{name.replace('_', '-')} is {value:g}", "give a number above 0")
    there = (options.directory / GOLDEN_FILE).exists()
    if there and options.prompt:
        raise UsageError(
            f"{options.directory / GOLDEN_FILE} is there already",
            "leave --prompt out to record what lacks an expectation, or remove the file",
        )
    if not there and not options.prompt:
        raise UsageError(
            f"no {options.directory / GOLDEN_FILE}", "write one (docs/golden.md), or give --prompt"
        )
    golden = (
        set_of_images(options.directory, options.prompt, options.max_tokens)
        if options.prompt
        else read_golden(options.directory)
    )
    client = OvmsClient(
        options.url, _REST_TIMEOUT_SECONDS, ca_file=options.ca, api_key=_key(options.api_key_file)
    )
    asking = Asking(options.servable or _only_servable(client), options.timeout, options.latency_factor)
    recorded = record_golden(golden, client, asking, _show)
    print(f"{len(recorded.cases)} cases in {options.directory / GOLDEN_FILE}")


def _show(case: Case) -> None:
    sys.stderr.write(f"{case.id}: {case.expect.text!r}\n")


def _only_servable(client: OvmsClient) -> str:
    names = client.models()
    if len(names) != 1:
        raise EdgeError(f"the server lists {', '.join(names) or 'nothing'}", "name one with --servable")
    return names[0]


def _key(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text().splitlines()[0].strip()
    except (OSError, IndexError) as error:
        raise EdgeError(f"no API key in {path}: {error}", "write it to the first line of the file") from error
