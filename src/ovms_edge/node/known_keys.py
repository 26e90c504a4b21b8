"""Settings documents name what they set: an unknown key is a mistake, never ignored."""

from __future__ import annotations

import difflib
from typing import Any

from ovms_edge.errors import UsageError


def checked_object(document: object, known: tuple[str, ...], what: str) -> dict[str, Any]:
    """Return ``document`` if it is an object of ``known`` keys; raises UsageError that names ``what``."""
    if not isinstance(document, dict):
        raise UsageError(f"{what}s are {document!r:.60}", f"write an object with {', '.join(known)}")
    for key in document:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise UsageError(f"{what} {key!r} is unknown", f"{hint}valid are {', '.join(known)}")
    return document
