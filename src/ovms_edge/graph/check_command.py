"""``ovms-edge graph check``."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.finding import Finding, has_errors
from ovms_edge.graph.files import output_file
from ovms_edge.memory_command import gib_argument
from ovms_edge.ovms.fields import DEFAULT_OVMS_VERSION

if TYPE_CHECKING:
    from ovms_edge.graph.model import ModelFacts
    from ovms_edge.ovms.memory import HostMemory

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

# The command imports its work when it runs: protobuf is slow to import.


@dataclass(frozen=True)
class Checked:
    """One file and what OVMS would make of it.

    ``changes`` were made by --fix and ``written`` there; the old graph is ``kept``. ``refusal`` is why the
    file could not be read or mended: nothing else is known of it then.
    """

    file: Path
    findings: list[Finding] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    written: Path | None = None
    kept: Path | None = None
    refusal: EdgeError | None = None

    @property
    def ok(self) -> bool:
        """Whether OVMS loads it."""
        return self.refusal is None and not has_errors(self.findings)


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
    parser.add_argument(
        "--host-gib", type=gib_argument, metavar="N", help="MemTotal of the host: checks cache_size"
    )
    parser.add_argument("--discrete", action="store_true", help="the GPU has its own memory, see --gpu-gib")
    parser.add_argument("--gpu-gib", type=gib_argument, metavar="N", help="memory of the discrete GPU")
    parser.add_argument(
        "--fix",
        action="store_true",
        help="write the graph that was meant, where that is clear; the old one stays as FILE.bak",
    )
    parser.add_argument(
        "--output", type=output_file, metavar="FILE", help="with --fix: write it here instead"
    )
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
    host = host_memory(options.host_gib, options.gpu_gib)
    try:
        fields_for(options.ovms_version)
    except EdgeError as error:
        if not options.json:
            raise
        print(json.dumps({"ok": False, "reason": error.reason, "remedy": error.remedy}, indent=2))
        return 1
    checked = []
    for path in options.paths:
        file = graph_file(path)
        try:
            each = _check_file(file, options, host)
        except EdgeError as error:
            each = Checked(file, refusal=error)
        checked.append(each)
        if not options.json:
            _print(each, options.ovms_version)
    if options.json:
        print(json.dumps(_document(checked, options.ovms_version), indent=2))
    return 0 if all(each.ok for each in checked) else 1


def _check_file(file: Path, options: argparse.Namespace, host: HostMemory | None) -> Checked:
    from ovms_edge.graph.check import check_graph
    from ovms_edge.graph.files import NotUtf8Error, read_graph_file
    from ovms_edge.ovms.status import PARSE

    try:
        text = read_graph_file(file)
    except NotUtf8Error as error:
        message = f"the file is {error.problem}"
        place = (error.line, error.column)
        return Checked(file, [Finding("error", PARSE.code, message, error.remedy, *place, step=PARSE.step)])
    model = _model(file, options.model)
    if options.fix:
        text, fixed = _fix(file, text, options.ovms_version, options.output)
    else:
        fixed = Checked(file)
    return replace(fixed, findings=check_graph(text, options.ovms_version, model, host))


def _fix(file: Path, text: str, ovms_version: str, output: Path | None) -> tuple[str, Checked]:
    """Return the mended text, and what was done with the file."""
    from ovms_edge.graph.files import keep_original, write_graph_file
    from ovms_edge.graph.fix import fix_graph

    try:
        fixed = fix_graph(text, ovms_version)
    except EdgeError as error:
        raise EdgeError(f"{file} cannot be mended: {error.reason}", error.remedy) from error
    if output is not None and not (output.exists() and output.samefile(file)):
        write_graph_file(output, fixed.text)
        return fixed.text, Checked(file, changes=fixed.changes, written=output)
    if fixed.text == text:
        return text, Checked(file)
    kept = keep_original(file)
    write_graph_file(file, fixed.text)
    return fixed.text, Checked(file, changes=fixed.changes, written=file, kept=kept)


def _model(file: Path, directory: Path | None) -> ModelFacts | None:
    from ovms_edge.graph.model import holds_model, read_model_facts

    if directory is not None:
        return read_model_facts(directory)
    return read_model_facts(file.parent) if holds_model(file.parent) else None


def _print(checked: Checked, ovms_version: str) -> None:
    if checked.refusal is not None:
        sys.stderr.write(f"ovms-edge: {checked.refusal.reason}\n  remedy: {checked.refusal.remedy}\n")
        return
    sys.stdout.write(_text(checked, ovms_version))
    sys.stdout.flush()


def _text(checked: Checked, ovms_version: str) -> str:
    file = str(checked.file)
    lines = [f"{file}: fixed: {change}" for change in checked.changes]
    if checked.written is not None:
        kept = f", the old one is {checked.kept}" if checked.kept else ""
        lines.append(f"{file}: written to {checked.written}{kept}")
        file = str(checked.written)
    lines += [finding.to_text(file) for finding in checked.findings]
    return "\n".join([*lines, f"{file}: {_summary(checked.findings, ovms_version)}\n"])


def _summary(findings: list[Finding], ovms_version: str) -> str:
    from ovms_edge.graph.check import first_error
    from ovms_edge.graph.checks.report import unanswered

    first = first_error(findings)
    loads = "loads it, but it cannot answer" if unanswered(findings) else "loads it"
    verdict = f"refuses it: {first.code}" if first else loads
    counts = Counter(finding.severity for finding in findings)
    parts = [
        f"{counts[severity]} {severity}{'s' if counts[severity] > 1 else ''}"
        for severity in ("error", "warning", "note")
        if counts[severity]
    ]
    return f"OVMS {ovms_version} {verdict}{'; ' + ', '.join(parts) if parts else ''}"


def _document(checked: list[Checked], ovms_version: str) -> dict[str, Any]:
    from ovms_edge.graph.check import first_error

    files: list[dict[str, Any]] = []
    for each in checked:
        if each.refusal is not None:
            reason, remedy = each.refusal.reason, each.refusal.remedy
            files.append({"file": str(each.file), "ok": False, "reason": reason, "remedy": remedy})
            continue
        first = first_error(each.findings)
        files.append(
            {
                "file": str(each.file),
                "ok": each.ok,
                "status": first.code if first else "OK",
                "findings": [finding.to_dict() for finding in each.findings],
                "changes": each.changes,
                "written": str(each.written) if each.written else None,
            }
        )
    return {"ok": all(file["ok"] for file in files), "ovms_version": ovms_version, "files": files}
