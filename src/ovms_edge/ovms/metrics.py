"""The text of ``/metrics``: Prometheus exposition format 0.0.4."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"\s*(?:,\s*|$)')
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Sample:
    """One value of one series; ``labels`` such as name, api, interface and method."""

    name: str
    labels: Mapping[str, str]
    value: float


def parse_metrics(text: str) -> list[Sample]:
    """Return all samples in order; raises ValueError for a line that is none."""
    lines = (line.strip() for line in text.splitlines())
    return [_sample(line) for line in lines if line and not line.startswith("#")]


def _sample(line: str) -> Sample:
    match = _SAMPLE.fullmatch(line)
    if not match:
        raise ValueError(f"no sample: {line[:200]}")
    return Sample(match[1], _labels(match[2] or ""), float(match[3]))


def _labels(text: str) -> dict[str, str]:
    labels, at = {}, 0
    while at < len(text):
        match = _LABEL.match(text, at)
        if not match:
            raise ValueError(f"no labels: {text[:200]}")
        labels[match[1]] = _ESCAPE.sub(lambda escaped: "\n" if escaped[1] == "n" else escaped[1], match[2])
        at = match.end()
    return labels
