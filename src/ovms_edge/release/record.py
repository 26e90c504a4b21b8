"""Record a golden set: ask a running server, and write down what it answers."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.golden import IMAGE_TYPES, Case, Expectation
from ovms_edge.ovms.chat import chat_body
from ovms_edge.ovms.client import Completion, OvmsClient
from ovms_edge.release.durable import write_atomically
from ovms_edge.release.golden import GOLDEN_FILE, GoldenSet, golden_bytes, read_golden

_TIMES_ASKED = 2


@dataclass(frozen=True)
class Asking:
    """How to ask: ``timeout`` in seconds an answer; bounds are ``latency_factor`` times what was measured."""

    servable: str
    timeout: float
    latency_factor: float | None = None


def set_of_images(directory: Path, prompt: str, max_tokens: int) -> GoldenSet:
    """Return a set that asks ``prompt`` of each image in ``directory``; raises EdgeError if there is none."""
    try:
        names = sorted(entry.name for entry in directory.iterdir() if entry.suffix.lower() in IMAGE_TYPES)
    except OSError as error:
        raise EdgeError(
            f"{directory} cannot be read: {error.strerror}", "name a directory of images"
        ) from error
    if not names:
        raise EdgeError(f"no image in {directory}", f"put some there: {', '.join(IMAGE_TYPES)}")
    return GoldenSet(directory, tuple(Case(Path(name).stem, prompt, (name,), max_tokens) for name in names))


def record_golden(
    golden: GoldenSet, client: OvmsClient, asking: Asking, on_case: Callable[[Case], None]
) -> GoldenSet:
    """Ask what has no expectation yet, write the set and return it. What has one is left as it is.

    Each question is asked twice. Raises EdgeError, and leaves the file as it was, if the answers differ:
    their text is no measure then.
    """
    cases = []
    for case in golden.cases:
        if case.expect == Expectation():
            case = _recorded(case, golden.directory, client, asking)
            on_case(case)
        cases.append(case)
    recorded = replace(golden, cases=tuple(cases))
    try:
        write_atomically(golden.directory / GOLDEN_FILE, golden_bytes(recorded))
    except OSError as error:
        raise EdgeError(
            f"{golden.directory / GOLDEN_FILE} cannot be written: {error.strerror}",
            "see to space and permissions",
        ) from error
    return read_golden(golden.directory)


def _recorded(case: Case, directory: Path, client: OvmsClient, asking: Asking) -> Case:
    urls = [_url(directory / image) for image in case.images]
    body = chat_body(asking.servable, case.prompt, urls, case.max_completion_tokens)
    answers = [client.chat_stream(body, asking.timeout) for _ in range(_TIMES_ASKED)]
    texts = {answer.content for answer in answers}
    if len(texts) > 1 or not answers[0].content.strip():
        what = "answers differently each time" if len(texts) > 1 else "has a blank answer"
        raise EdgeError(
            f"case {case.id!r} {what}: {answers[0].content[:100]!r}",
            "write an expectation of your own for it (contains, matches, json_schema)",
        )
    return replace(case, expect=_expectation(answers, asking.latency_factor))


def _expectation(answers: list[Completion], factor: float | None) -> Expectation:
    if factor is None:
        return Expectation(text=answers[0].content)
    first = max(answer.first_token_seconds or 0.0 for answer in answers)
    total = max(answer.total_seconds for answer in answers)
    return Expectation(
        text=answers[0].content,
        first_token_seconds=_bound(first * factor),
        total_seconds=_bound(total * factor),
    )


def _bound(seconds: float) -> float:
    """Return a bound in tenths of a second, rounded up."""
    return math.ceil(seconds * 10) / 10


def _url(path: Path) -> str:
    mime = IMAGE_TYPES[path.suffix.lower()]
    return f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}"
