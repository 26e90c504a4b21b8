"""What a check of a file found, one thing at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One finding.

    An ``error`` is what OVMS refuses, and ``code`` then the StatusCode that it reports; a ``warning`` loads
    but does not do what was meant, a ``note`` is what has to be known to use it, and ``code`` is a name of
    our own. ``message`` says what OVMS does, ``fix`` what to do about it. ``line`` and ``column`` count from
    1, None where there is no place in the file; ``path`` is the option, or the path within the document.
    ``step`` is where in its order of checks the server meets an ``error`` (``ovms_edge.ovms.status``).
    """

    severity: Severity
    code: str
    message: str
    fix: str
    line: int | None = None
    column: int | None = None
    path: str = ""
    step: int = 0

    def to_text(self, file: str) -> str:
        """Return the finding as compilers print theirs, the fix on a line below."""
        place = "".join(f":{number}" for number in (self.line, self.column) if number is not None)
        return f"{file}{place}: {self.severity}: {self.code}: {self.message}\n  fix: {self.fix}"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding for JSON."""
        values = asdict(self)
        del values["step"]
        return values


def has_errors(findings: Iterable[Finding]) -> bool:
    """Return whether OVMS would refuse the file."""
    return any(finding.severity == "error" for finding in findings)
