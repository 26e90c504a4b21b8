"""``ovms-edge graph check``."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.finding import Finding, has_errors
from ovms_edge.ovms.fields import DEFAULT_OVMS_VERSION

if TYPE_CHECKING:
    from ovms_edge.graph.model import ModelFacts
    from ovms_edge.ovms.memory import HostMemory

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

# The command imports its work when it runs: protobuf is slow to import.


@dataclass(frozen=True)
class Checked:
    """One file and what OVMS would make of it. ``changes`` were made by --fix, written to ``written``."""

    file: Path
    findings: list[Finding]
    changes: list[str]
    written: Path | None


def add_check(commands: Subparsers) -> None:
    """Add ``check``."""
    parser = commands.add_parser(
        "check",
        help="say what OVMS would do with a graph.pbtxt",
        description=(
            "Say what OVMS would do with a graph.pbtxt: every fault, with place, StatusCode and fix. "
            "Exit status 0: OVMS loads it; 1: it does not; 2: usage."
        ),
        epilog=(
            "examples:\n"
            "  ovms-edge graph check models/Qwen/Qwen2.5-VL-7B-Instruct-ov-int8 --host-gib 31\n"
            "  ovms-edge graph check graph.pbtxt --ovms-version 2026.3 --json\n"
            "  ovms-edge graph check graph.pbtxt --fix"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="FILE|DIR", help="a graph, or the directory that holds it"
    )
    parser.add_argument(
        "--ovms-version",
        default=DEFAULT_OVMS_VERSION,
        metavar="VERSION",
        help=f"default: {DEFAULT_OVMS_VERSION}",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="DIR",
        help='what models_path "./" leads to (default: the graph\'s directory, if a model is in it)',
    )
    parser.add_argument("--host-gib", type=float, metavar="N", help="MemTotal of the host: checks cache_size")
    parser.add_argument("--discrete", action="store_true", help="the GPU has its own memory, see --gpu-gib")
    parser.add_argument("--gpu-gib", type=float, metavar="N", help="memory of the discrete GPU")
    parser.add_argument(
        "--fix",
        action="store_true",
        help="write the graph that was meant, where that is clear; the old one stays as FILE.bak",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="with --fix: write it here instead")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    from ovms_edge.graph.explain_command import host_memory
    from ovms_edge.graph.files import graph_file
    from ovms_edge.ovms.fields import fields_for

    if options.output and (not options.fix or len(options.paths) > 1):
        raise UsageError("--output without --fix, or with several files", "give one FILE and --fix")
    if options.discrete != (options.gpu_gib is not None):
        raise UsageError("--discrete and --gpu-gib belong together", "give both, or none")
    fields_for(options.ovms_version)
    host = host_memory(options.host_gib, options.gpu_gib)
    checked = [_check_file(graph_file(path), options, host) for path in options.paths]
    if options.json:
        print(json.dumps(_document(checked, options.ovms_version), indent=2))
    else:
        sys.stdout.write("".join(_text(each, options.ovms_version) for each in checked))
    return 1 if any(has_errors(each.findings) for each in checked) else 0


def _check_file(file: Path, options: argparse.Namespace, host: HostMemory | None) -> Checked:
    from ovms_edge.graph.check import check_graph
    from ovms_edge.graph.files import read_graph_file

    text = read_graph_file(file)
    model = _model(file, options.model)
    changes: list[str] = []
    written = None
    if options.fix:
        text, changes, written = _fix(file, text, options.ovms_version, options.output)
    return Checked(file, check_graph(text, options.ovms_version, model, host), changes, written)


def _fix(file: Path, text: str, ovms_version: str, output: Path | None) -> tuple[str, list[str], Path | None]:
    """Return the mended text, what was done, and the file that it was written to, None if it stayed."""
    from ovms_edge.graph.files import write_graph_file
    from ovms_edge.graph.fix import fix_graph

    try:
        fixed = fix_graph(text, ovms_version)
    except EdgeError as error:
        raise EdgeError(f"{file} cannot be mended: {error.reason}", error.remedy) from error
    if output is not None:
        write_graph_file(output, fixed.text)
        return fixed.text, fixed.changes, output
    if fixed.text == text:
        return text, [], None
    write_graph_file(file.with_name(f"{file.name}.bak"), text)
    write_graph_file(file, fixed.text)
    return fixed.text, fixed.changes, file


def _model(file: Path, directory: Path | None) -> ModelFacts | None:
    from ovms_edge.graph.model import holds_model, read_model_facts

    if directory is not None:
        return read_model_facts(directory)
    return read_model_facts(file.parent) if holds_model(file.parent) else None


def _text(checked: Checked, ovms_version: str) -> str:
    file = str(checked.file)
    lines = [f"{file}: fixed: {change}" for change in checked.changes]
    if checked.written is not None:
        lines.append(f"{file}: written to {checked.written}")
        file = str(checked.written)
    lines += [finding.to_text(file) for finding in checked.findings]
    return "\n".join([*lines, f"{file}: {_summary(checked.findings, ovms_version)}\n"])


def _summary(findings: list[Finding], ovms_version: str) -> str:
    from ovms_edge.graph.check import first_error

    first = first_error(findings)
    verdict = f"refuses it: {first.code}" if first else "loads it"
    counts = Counter(finding.severity for finding in findings)
    parts = [
        f"{counts[severity]} {severity}{'s' if counts[severity] > 1 else ''}"
        for severity in ("error", "warning", "note")
        if counts[severity]
    ]
    return f"OVMS {ovms_version} {verdict}{'; ' + ', '.join(parts) if parts else ''}"


def _document(checked: list[Checked], ovms_version: str) -> dict[str, Any]:
    from ovms_edge.graph.check import first_error

    files = []
    for each in checked:
        first = first_error(each.findings)
        files.append(
            {
                "file": str(each.file),
                "ok": first is None,
                "status": first.code if first else "OK",
                "findings": [finding.to_dict() for finding in each.findings],
                "changes": each.changes,
                "written": str(each.written) if each.written else None,
            }
        )
    return {"ok": all(file["ok"] for file in files), "ovms_version": ovms_version, "files": files}
