"""What OVMS itself says of its failure, out of its log."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ERROR = "[error]"
# model_server v2025.4.1, src/llm/servable_initializer.cpp, .../continuous_batching/llm_executor.hpp.
# What follows is the exception's text, of several lines as a rule.
_EXCEPTION = re.compile(r"exception: |Error occurred in LLM executor: ")
_LONGEST = 300


def last_error(lines: Iterable[str]) -> str:
    """Return the last exception in a log, or the last error where there is none; empty if all is well.

    The lines that go on with it, which begin with no bracket, are part of it.
    """
    found = {True: "", False: ""}
    kind = None
    for line in lines:
        if _ERROR in line:
            exception = _EXCEPTION.search(line)
            kind = exception is not None
            found[kind] = line[exception.end() :] if exception else line.partition(_ERROR)[2]
        elif line.startswith("["):
            kind = None
        elif kind is not None:
            found[kind] += f" {line}"
    text = " ".join((found[True] or found[False].partition("] ")[2] or found[False]).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
