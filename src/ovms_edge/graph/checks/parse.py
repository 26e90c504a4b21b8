"""Would OVMS parse the graph? Every place where it would not, with what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from ovms_edge.finding import Finding
from ovms_edge.graph.reader import NotParsedError, graph_kind, is_json, to_protobuf
from ovms_edge.graph.text.schema import LLM_OPTIONS_MESSAGE
from ovms_edge.graph.text.syntax import GraphSyntaxError, Message, parse
from ovms_edge.graph.text.typed import Problem, problems
from ovms_edge.ovms import status
from ovms_edge.ovms.fields import KNOWN_VERSIONS, Field, fields_for
from ovms_edge.ovms.status import LoadCheck

_BOM = "\ufeff"
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_ANY = "google.protobuf.Any"


def check_parse(text: str, ovms_version: str) -> tuple[Message | None, list[Finding]]:
    """Return the tree, None where there is none to go on with, and what keeps OVMS from parsing ``text``."""
    if not text:
        message = f'the file is empty: "{status.EMPTY.log.format("...")}"'
        fix = "write a graph, as `ovms-edge graph render` does"
        return None, [_finding(status.EMPTY, message, fix, 1, 1)]
    findings: list[Finding] = []
    if text.startswith(_BOM):
        detail = "Interpreting non ascii codepoint 239."
        findings.append(_unparsed(detail, "save the file as UTF-8 without a byte order mark", 1, 1))
        text = text[1:]
    try:
        tree = parse(text)
    except GraphSyntaxError as error:
        return None, [*findings, _syntax_finding(text, error)]
    kind = graph_kind(ovms_version)
    found = [
        _problem_finding(problem, ovms_version)
        for problem in problems(text, tree, kind.descriptor, kind.pool)
    ]
    if not found:
        found = _protobufs_own(text, ovms_version)
    return tree, [*findings, *found]


def known_versions(path: tuple[str, ...]) -> list[str]:
    """Return the releases whose LLMCalculatorOptions have the option, given as its path of names."""
    return [version for version in KNOWN_VERSIONS if _field(path, fields_for(version)) is not None]


def _syntax_finding(text: str, error: GraphSyntaxError) -> Finding:
    template = _TEMPLATE.search(text)
    if is_json(text):
        fix = "write protobuf's text format: field: value, strings in quotes, no quotes around names"
        return _unparsed(error.problem, f"it is JSON: {fix}", error.line, error.column)
    if template and text.count("\n", 0, template.start()) + 1 <= error.line:
        fix = f"fill the template in: {template[0]} is left of it"
        return _unparsed(error.problem, fix, error.line, error.column)
    return _unparsed(error.problem, "correct the text at this place", error.line, error.column)


def _protobufs_own(text: str, ovms_version: str) -> list[Finding]:
    try:
        to_protobuf(text, graph_kind(ovms_version))
    except NotParsedError as error:
        return [_unparsed(error.problem, "correct the text at this place", error.line, error.column)]
    return []


def _problem_finding(problem: Problem, ovms_version: str) -> Finding:
    fix = problem.wanted
    path = problem.path
    _, separator, option = path.partition(f"/{LLM_OPTIONS_MESSAGE}].")
    if separator:
        path = option
    if problem.field_name:
        fix = _unknown_fix(problem, tuple(option.split(".")) if separator else (), ovms_version)
    return _unparsed(problem.text, fix, problem.line, problem.column, path)


def _unknown_fix(problem: Problem, option: tuple[str, ...], ovms_version: str) -> str:
    if problem.message == _ANY:
        return f"write [type.googleapis.com/{LLM_OPTIONS_MESSAGE}]"
    versions = known_versions(option) if option else []
    if versions:
        return f"remove it: OVMS {_ranges(versions)} knows it, {ovms_version} does not"
    kind = graph_kind(ovms_version).pool.FindMessageTypeByName(problem.message)
    names = [field.name for field in kind.fields]
    if option:
        names = [name for name in names if known_versions((*option[:-1], name))]
    close = difflib.get_close_matches(problem.field_name, names, n=1)
    if close:
        return f"write {close[0]}, if that is what was meant, or remove it"
    known = f" ({', '.join(names)} exist)" if 0 < len(names) <= 4 else ""
    return f"remove it: no OVMS from {KNOWN_VERSIONS[0]} to {KNOWN_VERSIONS[-1]} knows it{known}"


def _field(path: tuple[str, ...], fields: Mapping[str, Field]) -> Field | None:
    field = fields.get(path[0])
    if field is None or len(path) == 1:
        return field
    return _field(path[1:], field.message) if field.message is not None else None


def _ranges(versions: list[str]) -> str:
    """Return ``2024.4 to 2024.5`` for releases that follow each other."""
    first, last = versions[0], versions[-1]
    count = KNOWN_VERSIONS.index(last) - KNOWN_VERSIONS.index(first) + 1
    if len(versions) == 1:
        return f"only {first}"
    return f"{first} to {last}" if count == len(versions) else ", ".join(versions)


def _unparsed(detail: str, fix: str, line: int, column: int, path: str = "") -> Finding:
    place = f"{line}:{column}: " if line else ""
    message = f'"Error parsing text-format mediapipe.CalculatorGraphConfig: {place}{detail}"'
    return _finding(status.PARSE, message, fix, line, column, path)


def _finding(check: LoadCheck, message: str, fix: str, line: int, column: int, path: str = "") -> Finding:
    return Finding("error", check.code, message, fix, line or None, column or None, path, check.step)
