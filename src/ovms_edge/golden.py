"""Golden sets: questions with their images, and what the answers have to be. Standard library only.

One way to read and to judge them, for whoever builds a release, records one and gates a server
(docs/golden.md).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.json_schema import check_pattern, check_schema, violation

GOLDEN_DIRECTORY = "golden"  # where the images lie in a release
# What OVMS decodes (stb_image; model_server v2025.4.1, src/llm/apis/openai_completions.cpp).
IMAGE_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".bmp": "image/bmp"}
DEFAULT_MAX_TOKENS = 64
# Below this a machine's ordinary jitter is larger than what a ratio could tell.
RATIO_SLACK_SECONDS = 1.0

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)


@dataclass(frozen=True)
class Times:
    """How long an answer took, in seconds; the first token's is None where none came."""

    first_token_seconds: float | None
    total_seconds: float


@dataclass(frozen=True)
class Expectation:
    """What an answer has to be; what is None or empty is not asked for.

    ``text`` is the whole answer, ``contains`` are parts of it (case does not matter), ``matches`` is a
    regular expression found in it, ``json_schema`` what it is as JSON (alone, or in one fenced block).
    Bounds in seconds, and as multiples of what the same question took in the node's last good gate.
    """

    text: str | None = None
    contains: tuple[str, ...] = ()
    matches: str | None = None
    json_schema: dict[str, Any] | None = None
    first_token_seconds: float | None = None
    total_seconds: float | None = None
    first_token_ratio: float | None = None
    total_ratio: float | None = None


@dataclass(frozen=True)
class Case:
    """One question, asked ``repeat`` times. ``images``: paths, relative to the set or to the release."""

    id: str
    prompt: str
    images: tuple[str, ...]
    max_completion_tokens: int = DEFAULT_MAX_TOKENS
    repeat: int = 1
    expect: Expectation = field(default_factory=Expectation)

    def document(self) -> dict[str, Any]:
        """Return the case as JSON, without what has its default."""
        expect = {key: value for key, value in asdict(self.expect).items() if value not in (None, ())}
        expect = {key: list(value) if isinstance(value, tuple) else value for key, value in expect.items()}
        return {
            "id": self.id,
            "prompt": self.prompt,
            "images": list(self.images),
            "max_completion_tokens": self.max_completion_tokens,
            **({"repeat": self.repeat} if self.repeat != 1 else {}),
            **({"expect": expect} if expect else {}),
        }


def read_case(document: object) -> Case:
    """Read one entry of a golden set; raises EdgeError naming what is wrong in it."""
    values = _known(document, Case, "golden case")
    case = f"golden case {values.get('id')!r}"
    _require(isinstance(values.get("id"), str) and bool(_ID.fullmatch(values["id"])), f"{case}: id", "a name")
    _require(isinstance(values.get("prompt"), str) and bool(values["prompt"]), f"{case}: prompt", "text")
    images = values.get("images")
    _require(
        isinstance(images, list) and bool(images) and all(map(_is_image_path, images)),
        f"{case}: images",
        f"a list of paths relative to the set, each {', '.join(IMAGE_TYPES)}",
    )
    for key in ("max_completion_tokens", "repeat"):
        _require(_is_count(values.get(key, 1)), f"{case}: {key}", "a whole number, 1 or more")
    expect = _read_expectation(values.pop("expect", {}), case)
    return Case(**{**values, "images": tuple(values["images"])}, expect=expect)


def _read_expectation(document: object, case: str) -> Expectation:
    values = _known(document, Expectation, f"{case}: expect")
    for key, value in values.items():
        where = f"{case}: {key}"
        if key == "text":
            _require(isinstance(value, str), where, "text")
        elif key == "matches":
            check_pattern(value, where)
        elif key == "json_schema":
            check_schema(value, where)
        elif key == "contains":
            texts = isinstance(value, list) and all(isinstance(text, str) and text for text in value)
            _require(texts, where, "a list of texts")
        else:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            _require(number and value > 0, where, "a number above 0")
    return Expectation(**{**values, "contains": tuple(values.get("contains", ()))})


def question_key(case: Case, images: Mapping[str, bytes]) -> str:
    """Return what tells the question apart from others: times of another one say nothing about it."""
    asked = [case.prompt, case.max_completion_tokens]
    asked += [hashlib.sha256(images[path]).hexdigest() for path in case.images]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def fault_of(expect: Expectation, content: str) -> str | None:
    """Return what is wrong with an answer's text, None if nothing is."""
    if expect.text is not None and content != expect.text:
        return f"is {_shown(content)}, not {_shown(expect.text)}"
    missing = [text for text in expect.contains if text.lower() not in content.lower()]
    if missing:
        return f"lacks {', '.join(missing)}: {_shown(content)}"
    if expect.matches is not None and not re.search(expect.matches, content):
        return f"does not match {expect.matches!r}: {_shown(content)}"
    if expect.json_schema is not None:
        fenced = _FENCE.fullmatch(content)
        try:
            value = json.loads(fenced.group(1) if fenced else content)
        except ValueError as error:
            return f"is not JSON ({error}): {_shown(content)}"
        wrong = violation(expect.json_schema, value)
        return f"is not as its schema says: {wrong}" if wrong else None
    return None


def lateness_of(expect: Expectation, took: Times, last_good: Times | None) -> str | None:
    """Return which bound an answer missed, None if it was in time."""
    first, total = took.first_token_seconds, took.total_seconds
    good = last_good or Times(None, 0)
    bounds = (
        (
            "first token",
            first,
            expect.first_token_seconds,
            expect.first_token_ratio,
            good.first_token_seconds,
        ),
        ("end", total, expect.total_seconds, expect.total_ratio, good.total_seconds if last_good else None),
    )
    for what, seconds, bound, ratio, before in bounds:
        if seconds is None:
            continue
        if bound is not None and seconds > bound:
            return f"had its {what} after {seconds:.2f} s, allowed are {bound:g} s"
        if ratio is not None and before is not None and seconds > before * ratio + RATIO_SLACK_SECONDS:
            return (
                f"had its {what} after {seconds:.2f} s, more than {ratio:g} times the {before:.2f} s of this "
                "node's last good run"
            )
    return None


def _known(document: object, contract: type, what: str) -> dict[str, Any]:
    known = tuple(contract.__dataclass_fields__)  # type: ignore[attr-defined]
    if not isinstance(document, dict):
        raise EdgeError(f"{what} is {document!r}", f"write an object with {', '.join(known)}")
    for key in document:
        _require(key in known, f"{what}: {key}", f"one of {', '.join(known)}", "is not known")
    return dict(document)


def _require(good: bool, what: str, wanted: str, found: str = "is missing or not usable") -> None:
    if not good:
        raise EdgeError(f"{what} {found}", f"write {wanted}")


def _is_image_path(path: object) -> bool:
    if not isinstance(path, str) or not path:
        return False
    parts = PurePosixPath(path)
    plain = not parts.is_absolute() and ".." not in parts.parts and str(parts) == path
    return plain and parts.suffix.lower() in IMAGE_TYPES


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:197]}...")
