"""A strict reader of Prometheus text format 0.0.4: what its specification does not allow is refused.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{((?:{_LABEL})(?:,{_LABEL})*)?\}})? (\S+)")
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


@dataclass
class Family:
    kind: str
    meaning: str
    samples: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)


def read(text: str) -> dict[str, Family]:
    """Return the families by name; raises ValueError for what Prometheus would refuse or warn of."""
    if text and not text.endswith("\n"):
        raise ValueError("the last line does not end")
    families: dict[str, Family] = {}
    described: tuple[str, str] | None = None
    for line in text.splitlines():
        if found := re.fullmatch(rf"# HELP ({_NAME}) (.+)", line):
            described = (found[1], found[2])
        elif found := re.fullmatch(rf"# TYPE ({_NAME}) (counter|gauge)", line):
            if described is None or described[0] != found[1] or found[1] in families:
                raise ValueError(f"no HELP before, or a second TYPE: {line}")
            families[found[1]] = Family(found[2], described[1])
        elif found := _SAMPLE.fullmatch(line):
            name = list(families)[-1] if families else ""
            if found[1] != name:
                raise ValueError(f"not of the family before it ({name}): {line}")
            pairs = re.findall(_LABEL, found[2] or "")
            labels = tuple(
                sorted((key, re.sub(r"\\.", lambda e: _ESCAPES[e[0]], value)) for key, value in pairs)
            )
            if labels in families[name].samples or len(dict(labels)) != len(labels):
                raise ValueError(f"twice: {line}")
            families[name].samples[labels] = float(found[found.re.groups])
        else:
            raise ValueError(f"not in the format: {line}")
    return families
