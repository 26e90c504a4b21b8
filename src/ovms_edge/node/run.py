"""Which run of ``ovms-node`` this is: what its log lines, its history and its answer have in common."""

from __future__ import annotations

import os
import re

from ovms_edge.errors import UsageError

# What this process starts (a detached stage) belongs to the same run, so the id is kept in its environment.
VARIABLE = "OVMS_EDGE_RUN_ID"
LONGEST = 64
_FORM = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST}}}")
_RANDOM_BYTES = 4


def begin_run(given: str | None) -> None:
    """Make ``given`` (``--run-id``) the id of this run, or else what the environment says.

    Raises UsageError for one that nobody could search for; the run then has an id of its own.
    """
    source, wanted = ("--run-id", given) if given is not None else (VARIABLE, os.environ.get(VARIABLE))
    if wanted is None or (given is None and not wanted):
        return
    if not _FORM.fullmatch(wanted):
        raise UsageError(
            f"{source} is {wanted!r}",
            f"give 1 to {LONGEST} letters, digits and . _ -, or leave it out for a random one",
        )
    os.environ[VARIABLE] = wanted


def run_id() -> str:
    """Return the id of this run: 8 random hex digits unless one was given."""
    if not _FORM.fullmatch(os.environ.get(VARIABLE, "")):
        os.environ[VARIABLE] = os.urandom(_RANDOM_BYTES).hex()
    return os.environ[VARIABLE]
