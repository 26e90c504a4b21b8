"""Rewrite the table of checks in docs/doctor.md from the checks of ``ovms-node doctor``.

Usage: python tools/doctor_docs.py [--check]

With --check nothing is written; the exit status is 1 if the page is not current.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ovms_edge.node.doctor.table import CHECKS
from ovms_edge.node.doctor.text import markdown_table

PAGE = Path(__file__).resolve().parent.parent / "docs/doctor.md"
BEGIN, END = "<!-- checks -->", "<!-- /checks -->"


def current(page: str) -> str:
    """Return ``page`` with the table of today between the markers; raises ValueError without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has not {BEGIN} and {END} after it; put them around the table's place")
    return f"{before}{BEGIN}\n{markdown_table(CHECKS)}\n{END}{after}"


def main() -> int:
    """Bring the page up to date, or check that it is."""
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    old = PAGE.read_text()
    new = current(old)
    if new != old and "--check" in sys.argv:
        print("docs/doctor.md differs from the checks; run `python tools/doctor_docs.py`", file=sys.stderr)
        return 1
    if new != old:
        PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
