"""``ovms-edge config check | merge``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ovms_edge.graph.commands import add_version

if TYPE_CHECKING:
    from ovms_edge.finding import Finding

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

# Each command imports its work when it runs: jsonschema and protobuf are slow to import.


def add_group(groups: Subparsers) -> None:
    """Add ``config`` and its commands."""
    group = groups.add_parser("config", help="check and merge a config.json of OVMS")
    commands = group.add_subparsers(metavar="COMMAND", required=True)
    _add_check(commands)
    _add_merge(commands)


def _add_check(commands: Subparsers) -> None:
    parser = _add(commands, "check", "say what OVMS would do with a config.json", "models/config.json")
    parser.add_argument("file", type=Path, metavar="FILE")
    add_version(parser)
    parser.add_argument(
        "--rest-port",
        type=int,
        metavar="PORT",
        help="the server's --rest_port, 0 for none (default: not known)",
    )
    parser.add_argument("--no-graphs", action="store_true", help="leave out the graphs that it names")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.set_defaults(run=_check)


def _add_merge(commands: Subparsers) -> None:
    example = "models/config.json --name Qwen/Qwen2.5-VL-7B-Instruct-ov-int8 --base-path Qwen/..."
    parser = _add(commands, "merge", "enter one servable, and leave all else as it is", example)
    parser.add_argument("file", type=Path, metavar="FILE", help="made if there is none")
    parser.add_argument("--name", required=True, help="what requests call the model")
    parser.add_argument(
        "--base-path",
        required=True,
        metavar="DIR",
        help="as OVMS shall read it: relative to FILE's directory, or absolute in the container",
    )
    add_version(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the change as a diff, and make none")
    parser.set_defaults(run=_merge)


def _add(commands: Subparsers, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  ovms-edge config {name} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _check(options: argparse.Namespace) -> int:
    from ovms_edge.config_file.check import check_config, read_config_text
    from ovms_edge.finding import has_errors

    file: Path = options.file
    findings = check_config(
        read_config_text(file),
        options.ovms_version,
        file.parent,
        graphs=not options.no_graphs,
        rest_port=options.rest_port,
    )
    ok = not has_errors(findings)
    if options.json:
        _print_json(options, findings, ok)
    else:
        for finding in findings:
            print(finding.to_text(str(file)))
        print(f"{file}: OVMS {options.ovms_version} {'accepts' if ok else 'refuses'} it")
    return 0 if ok else 1


def _print_json(options: argparse.Namespace, findings: list[Finding], ok: bool) -> None:
    document = {
        "ok": ok,
        "file": str(options.file),
        "ovms_version": options.ovms_version,
        "findings": [finding.to_dict() for finding in findings],
    }
    print(json.dumps(document, indent=2))


def _merge(options: argparse.Namespace) -> None:
    from ovms_edge.config_file.merge import merge_servable

    merge = merge_servable(
        options.file, options.name, options.base_path, options.ovms_version, dry_run=options.dry_run
    )
    if options.dry_run:
        sys.stdout.write(merge.diff)
    elif merge.changed:
        print(f"{options.file}: {options.name} entered")
    else:
        print(f"{options.file}: {options.name} is there already")
    if not options.base_path.startswith("/") and not (options.file.parent / options.base_path).is_dir():
        sys.stderr.write(f"note: {options.file.parent / options.base_path} does not exist yet\n")
