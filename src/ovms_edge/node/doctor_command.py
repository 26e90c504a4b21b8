"""``ovms-node doctor``."""

from __future__ import annotations

import argparse
import difflib
import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import ovms_edge
from ovms_edge.errors import UsageError
from ovms_edge.node.doctor.collect import Means, collect
from ovms_edge.node.doctor.evidence import Places
from ovms_edge.node.doctor.findings import Check, Diagnosis, diagnose
from ovms_edge.node.doctor.table import CHECKS
from ovms_edge.node.doctor.text import diagnosis_text, list_text
from ovms_edge.node.options import Document, Parsers
from ovms_edge.node.output import utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = 1


def add_commands(parsers: Parsers) -> None:
    """Add ``doctor``."""
    doctor = parsers.commands.add_parser(
        "doctor",
        parents=[parsers.common],
        help="what is wrong here and how to mend it; reads only",
        epilog="Exit status: 0 no finding of severity error, 1 at least one, 2 wrong call.",
    )
    what = doctor.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="the checks; nothing is looked at")
    what.add_argument("--only", nargs="+", metavar="ID", default=[], help="tell of these checks only")
    doctor.set_defaults(run=_doctor, text=diagnosis_text)


def _doctor(options: argparse.Namespace) -> Document:
    if options.list:
        options.text = list_text
        return {"ok": True, "checks": [_described(check) for check in CHECKS]}
    _require_known(options.only)
    if os.geteuid() != 0:
        raise UsageError("this user may not see all that has to be looked at", "run ovms-node doctor as root")
    began = time.monotonic()
    diagnosis = diagnose(CHECKS, collect(Places(options.node_config), Means.of_this_host()))
    if options.only:
        diagnosis = diagnosis.only(options.only)
    return document_of(diagnosis, time.monotonic() - began)


def document_of(diagnosis: Diagnosis, seconds: float) -> Document:
    """Return the document of ``doctor``; ``ok``: no finding is an error."""
    errors = [finding.id for finding in diagnosis.findings if finding.severity == "error"]
    document: Document = {
        "ok": not errors,
        "schema": SCHEMA,
        "at": utc_now(),
        "tool": ovms_edge.__version__,
        "seconds": round(seconds, 3),
        "findings": [asdict(finding) for finding in diagnosis.findings],
        "skipped": [asdict(skipped) for skipped in diagnosis.skipped],
        "passed": len(diagnosis.passed),
    }
    if errors:
        document |= {"reason": f"doctor finds {', '.join(errors)}", "remedy": "see the fix of each"}
    return document


def _require_known(ids: Sequence[str]) -> None:
    known = [check.id for check in CHECKS]
    for name in ids:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise UsageError(f"no check {name!r}", f"{hint}ovms-node doctor --list names all")


def _described(check: Check) -> dict[str, object]:
    return {
        "id": check.id,
        "severity": check.severity,
        "looks_at": check.looks_at,
        "after": list(check.after),
    }
