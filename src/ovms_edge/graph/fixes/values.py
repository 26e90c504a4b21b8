"""One literal of the wrong kind where only one right one can be meant: ``"4"`` for 4, ``gpu`` for GPU."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace

from ovms_edge.graph.text.syntax import Entry, Message, quote
from ovms_edge.graph.text.values import is_string, value_of
from ovms_edge.ovms.fields import Field
from ovms_edge.ovms.graph import MODELS_PATH

_WHOLE = re.compile(r"(\d+)(?:\.0*)?")
_MEANT_BOOL = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
_DEVICE = re.compile(r"(?:cpu|gpu|npu|auto)(?:\.\d+)?", re.IGNORECASE)
_NEAR = 0.8
# Where people keep models on a host. Any other absolute path may be mounted in the container: it stays, and
# the check warns of it.
_HOST_PATH = re.compile(r"(?:/(?:home|root|Users|mnt|media|tmp)(?:/|$)|~|[A-Za-z]:[\\/])")
_MODEL_FILE = re.compile(r"(?P<directory>.*?)[^/]*\.(?:xml|bin)", re.DOTALL)


def mend_value(field: Field, entry: Entry) -> tuple[str, str] | None:
    """Return the literal that was meant and why, None where it is right or the intent cannot be known."""
    if isinstance(entry.value, Message):
        return None
    if field.name == "models_path":
        return _mend_models_path(entry.value, entry.text)
    if field.type == "string":
        return _mend_text(field, entry.value, entry.text)
    meant = _meant(field, entry.text.strip()) if value_of(entry, field) is None else None
    if meant is None or value_of(replace(entry, value=meant), field) is None:
        return None
    kind = {"bool": "true or false", "enum": "one of its names"}.get(field.type, "a number")
    return meant, f"the field takes {kind}, without quotes"


def _meant(field: Field, bare: str) -> str | None:
    if field.type == "enum":
        return _meant_choice(field.choices, bare.upper())
    if field.type == "bool":
        return _MEANT_BOOL.get(bare.lower())
    if field.type == "float":
        return bare or None
    whole = _WHOLE.fullmatch(bare)
    return str(int(whole[1])) if whole else None


def _mend_text(field: Field, literal: str, text: str) -> tuple[str, str] | None:
    if field.name.endswith("device") and _DEVICE.fullmatch(text) and text != text.upper():
        return quote(text.upper()), "OpenVINO's device names are in capitals"
    return None if is_string(literal) else (quote(text), "text is quoted")


def _meant_choice(choices: tuple[str, ...], name: str) -> str | None:
    return name if name in choices else only_near(name, choices)


def _mend_models_path(literal: str, path: str) -> tuple[str, str] | None:
    if _HOST_PATH.match(path) and not path.endswith(".gguf"):
        return quote(MODELS_PATH), "a path of the host, which the container does not have"
    if file := _MODEL_FILE.fullmatch(path):
        return quote(file["directory"] or MODELS_PATH), "it names the model's directory, not a file in it"
    return None if is_string(literal) else (quote(path), "text is quoted")


def only_near(name: str, names: tuple[str, ...]) -> str | None:
    """Return the one of ``names`` that ``name`` is a typing error of, None if there is none or several."""
    near = difflib.get_close_matches(name, names, n=2, cutoff=_NEAR)
    if len(near) == 2:
        first, second = (difflib.SequenceMatcher(None, name, found).ratio() for found in near)
        if first - second < (1 - _NEAR) / 4:
            return None
    return near[0] if near else None
