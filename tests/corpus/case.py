"""One graph of OVMS's own, and what it is expected to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ModelKind = Literal["VLM", "LM", "none"]
LOADS = "OK"
# OVMS parses it and keeps it; no test loads it, and some of the settings are made up
PARSES = "parses"


@dataclass(frozen=True)
class Case:
    """``text`` as OVMS would read it; ``place`` is ``file:line``, with the test's name where it is one.

    ``expected`` is LOADS, PARSES, a StatusCode, or None where the sources do not say. ``model`` is what
    lies in ``mounted_at``, or beside the graph if that is empty: ``none`` is a directory without a model,
    None that nothing is known of it. ``draft`` is a draft model's directory within it.
    """

    place: str
    text: str
    expected: str | None
    model: ModelKind | None = None
    mounted_at: str = ""
    draft: str = ""
