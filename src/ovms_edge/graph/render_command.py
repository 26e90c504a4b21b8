"""``ovms-edge graph render``: options from the command line to a graph that OVMS loads."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.finding import has_errors
from ovms_edge.graph.check import check_graph
from ovms_edge.graph.files import write_graph_file
from ovms_edge.ovms.fields import Field, Fields, fields_for
from ovms_edge.ovms.graph import render_graph

_WHOLE = re.compile(r"-?\d+")
_TRUTH = {"true": True, "false": False}


def run_render(assignments: Iterable[str], ovms_version: str, output: Path | None) -> None:
    """Write the graph of ``FIELD=VALUE`` assignments to ``output``, or to standard output where None.

    Raises UsageError for what is no assignment, and EdgeError for options that this OVMS refuses. What the
    check warns of goes to standard error.
    """
    text = render_graph(parse_assignments(assignments, ovms_version), ovms_version)
    findings = check_graph(text, ovms_version)
    shown = str(output or "graph.pbtxt")
    if has_errors(findings):
        listed = "; ".join(finding.message for finding in findings if finding.severity == "error")
        fixes = "; ".join(dict.fromkeys(finding.fix for finding in findings if finding.severity == "error"))
        raise EdgeError(f"OVMS {ovms_version} refuses these options: {listed}", fixes)
    if output is not None:
        write_graph_file(output, text)
    for finding in findings:
        sys.stderr.write(finding.to_text(shown) + "\n")
    if output is None:
        sys.stdout.write(text)


def parse_assignments(assignments: Iterable[str], ovms_version: str) -> dict[str, Any]:
    """Return ``FIELD=VALUE`` texts as options, each value of the type that the field matrix says.

    ``FIELD`` may be a path: ``plugin_config.KEY``, ``cache_eviction_config.start_size``. A field has one
    value. A value of the wrong type stays text: the check of the options names it.
    """
    options: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals or not path:
            raise UsageError(f"--set {assignment} is no FIELD=VALUE", "write for example --set cache_size=4")
        try:
            assignment.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UsageError(f"the value of {path!r} is no UTF-8 text", "write it in UTF-8") from error
        _assign(options, path.split("."), value, fields_for(ovms_version))
    return options


def _assign(target: dict[str, Any], path: list[str], value: str, fields: Fields) -> None:
    name, *rest = path
    field = fields.get(name)
    if rest and name == "plugin_config":
        key = ".".join(rest)
        _put(_object(target, name), key, _json_or_text(value))
    elif rest and field is not None and field.message is not None:
        _assign(_object(target, name), rest, value, field.message)
    elif rest:
        _put(target, ".".join(path), value)
    else:
        _put(target, name, _typed(value, field))


def _put(target: dict[str, Any], name: str, value: Any) -> None:
    if name in target:
        raise UsageError(f"--set gives {name} twice: {target[name]} and {value}", "set it once")
    target[name] = value


def _object(target: dict[str, Any], name: str) -> dict[str, Any]:
    found = target.setdefault(name, {})
    if not isinstance(found, dict):
        raise UsageError(f"--set gives {name} both a value and parts", f"set {name} or its parts")
    return found


def _typed(value: str, field: Field | None) -> Any:
    if field is None:
        return value
    if field.type in ("uint32", "uint64") and _WHOLE.fullmatch(value):
        return int(value)
    if field.type == "bool":
        return _TRUTH.get(value.lower(), value)
    if field.type == "float":
        try:
            return float(value)
        except ValueError:
            return value
    if field.type == "message" or field.name == "plugin_config":
        return _json_or_text(value)
    return value


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
