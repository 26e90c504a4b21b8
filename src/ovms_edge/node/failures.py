"""What a call that failed says, and errors that must not hide why it did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.node.output import log


class ActivationError(EdgeError):
    """The gate said no. ``document`` holds ``gate``, ``log_tail``, ``serving`` and ``changed``."""

    def __init__(self, reason: str, remedy: str, document: dict[str, Any]) -> None:
        super().__init__(reason, remedy)
        self.document = document


def edge_error(error: EdgeError | OSError) -> EdgeError:
    """Return what the operating system refused as reason and remedy."""
    if isinstance(error, EdgeError):
        return error
    where = f": {error.filename}" if error.filename else ""
    return EdgeError(
        f"{error.strerror or type(error).__name__}{where}",
        "see to space, permissions and health of this disk, then run ovms-node again as root",
    )


@contextmanager
def only_logged(consequence: str) -> Iterator[None]:
    """Go on after an error on the way back: what the caller has to learn is why the gate said no."""
    try:
        yield
    except (EdgeError, OSError) as error:
        log(f"{consequence}: {error}")
