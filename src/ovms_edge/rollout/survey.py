"""What stores said of a release before anything moved: ``playbooks/survey_stores.yml`` asks them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError

SCHEMA = "ovms-edge.survey/1"
_AGAIN = "ask the stores again with playbooks/survey_stores.yml"
_TEXT = (str, type(None))
_NUMBER = (int, float, type(None))
_TYPES: Mapping[str, tuple[type, ...]] = {
    "reached": (bool,),
    "suitable": (bool, type(None)),
    "reason": _TEXT,
    "remedy": _TEXT,
    "fetch_bytes": (int, type(None)),
    "seconds": _NUMBER,
    "serving": _TEXT,
}


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One store. ``suitable`` None: not known; ``seconds``: what fetching takes at the rate that it has."""

    reached: bool
    suitable: bool | None = None
    reason: str | None = None
    remedy: str | None = None
    fetch_bytes: int | None = None
    seconds: float | None = None
    serving: str | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """``at``: when it was made, RFC 3339, None if it does not say."""

    release: str
    stores: Mapping[str, Surveyed]
    at: str | None = None


def read_survey(path: Path, release: str) -> Survey:
    """Return the survey in a file; raises EdgeError if it is none, or of another release."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", _AGAIN) from error
    except ValueError as error:
        raise EdgeError(f"{path} is not JSON: {error}", _AGAIN) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise EdgeError(f"{path} is no survey of this version ({SCHEMA})", _AGAIN)
    if document.get("release") != release:
        raise EdgeError(
            f"{path} is a survey of {document.get('release')}, and this rollout of {release}", _AGAIN
        )
    if not isinstance(document.get("stores"), dict):
        raise EdgeError(f"{path} has no stores", _AGAIN)
    stores = {name: _surveyed(said, f"{path}: {name}") for name, said in sorted(document["stores"].items())}
    return Survey(release, stores, document.get("at"))


def _surveyed(said: object, what: str) -> Surveyed:
    if not isinstance(said, dict) or "reached" not in said:
        raise EdgeError(f"{what} does not say whether it was reached", _AGAIN)
    known: dict[str, Any] = {key: said[key] for key in _TYPES if key in said}
    for key, value in known.items():
        if type(value) not in _TYPES[key] or (isinstance(value, (int, float)) and value < 0):
            raise EdgeError(f"{what} has {key} {value!r:.60}", _AGAIN)
    return Surveyed(**known)
