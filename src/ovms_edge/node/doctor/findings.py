"""What a check says, and how one broken thing becomes one finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ovms_edge.node.doctor.evidence import Evidence

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Trouble:
    """What is wrong: the value found, the one expected, and a command that mends it."""

    found: str
    expected: str
    fix: str


@dataclass(frozen=True)
class Unknown:
    """What cannot be known here, or does not concern this node."""

    why: str


Verdict = Trouble | Unknown | None


@dataclass(frozen=True)
class Check:
    """One check. ``after``: those from whose findings a trouble here would follow; they come before it."""

    id: str
    severity: Severity
    looks_at: str
    look: Callable[[Evidence], Verdict]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A trouble with the check that found it."""

    id: str
    severity: Severity
    found: str
    expected: str
    fix: str


@dataclass(frozen=True)
class Skipped:
    """A check that was not made. ``waits_for``: the finding that has to be mended first, None if none has."""

    id: str
    waits_for: str | None
    why: str


@dataclass(frozen=True)
class Diagnosis:
    """What all checks said, in their order."""

    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    passed: tuple[str, ...]

    def only(self, ids: Sequence[str]) -> Diagnosis:
        """Return what it says of the checks ``ids``."""
        return Diagnosis(
            tuple(finding for finding in self.findings if finding.id in ids),
            tuple(skipped for skipped in self.skipped if skipped.id in ids),
            tuple(name for name in self.passed if name in ids),
        )


def diagnose(checks: Sequence[Check], evidence: Evidence) -> Diagnosis:
    """Make the checks in their order.

    A trouble that follows from one found before, however many checks lie between, is no finding: that check
    is skipped, with the id of the finding. So is one that cannot be made for it.
    """
    findings: list[Finding] = []
    skipped: list[Skipped] = []
    passed: list[str] = []
    roots: dict[str, str] = {}  # by check: the first finding among those that it follows
    found: set[str] = set()
    for check in checks:
        above = (name if name in found else roots.get(name) for name in check.after)
        root = next((name for name in above if name), None)
        if root:
            roots[check.id] = root
        verdict = check.look(evidence)
        if verdict is None:
            passed.append(check.id)
        elif root:
            skipped.append(Skipped(check.id, root, f"waits for {root}"))
        elif isinstance(verdict, Unknown):
            skipped.append(Skipped(check.id, None, verdict.why))
        else:
            found.add(check.id)
            findings.append(Finding(check.id, check.severity, verdict.found, verdict.expected, verdict.fix))
    return Diagnosis(tuple(findings), tuple(skipped), tuple(passed))
