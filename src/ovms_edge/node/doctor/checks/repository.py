"""``config.json`` of OVMS: what it is to serve."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from ovms_edge.node.container import DesiredServer
from ovms_edge.node.doctor.checks.words import activate
from ovms_edge.node.doctor.evidence import Evidence, ModelEvidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict

_LISTS = ("model_config_list", "mediapipe_config_list")


def _of_config(look: Callable[[Evidence, ModelEvidence], Verdict]) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        return look(evidence, evidence.model) if evidence.model else Unknown("nothing is active")

    return check


def _parsed(model: ModelEvidence) -> Any:
    try:
        return json.loads(model.config_text or "")
    except ValueError as error:
        return error


def _readable(evidence: Evidence, model: ModelEvidence) -> Verdict:
    path = model.generation / "config.json"
    if model.config_text is None:
        return Trouble(f"no {path}", "what ovms-node renders", activate(evidence))
    document = _parsed(model)
    if isinstance(document, dict):
        return None
    found = f"{path} is no JSON object: {document}"
    return Trouble(found, "a JSON object: OVMS ends with anything else", activate(evidence))


def _servable(evidence: Evidence, model: ModelEvidence) -> Verdict:
    document, active = _parsed(model), evidence.active
    if not isinstance(document, dict) or active is None:
        return Unknown("no config.json to read")
    names = list(_names(document))
    if active.servable in names:
        return None
    found = f"config.json serves {', '.join(names) or 'nothing'}: clients that ask for another name get 404"
    return Trouble(found, active.servable, activate(evidence))


def _names(document: dict[str, Any]) -> Iterator[str]:
    for key in _LISTS:
        entries = document.get(key)
        for entry in entries if isinstance(entries, list) else ():
            inner = entry.get("config", entry) if isinstance(entry, dict) else {}
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                yield inner["name"]


def _drift(evidence: Evidence, model: ModelEvidence) -> Verdict:
    document, rendered = _parsed(model), evidence.rendered
    if not isinstance(document, dict) or not isinstance(rendered, DesiredServer):
        return Unknown("nothing to compare")
    wanted = json.loads(rendered.config_text)
    if document == wanted:
        return None
    keys = [key for key in {**document, **wanted} if document.get(key) != wanted.get(key)]
    found = f"{model.generation / 'config.json'} was changed since it was rendered: {', '.join(keys)}"
    return Trouble(found, "what ovms-node rendered", activate(evidence))


CHECKS = (
    Check("config.readable", "error", "config.json is JSON", _of_config(_readable), ("model.generation",)),
    Check(
        "config.servable", "error", "the servable's name in it", _of_config(_servable), ("config.readable",)
    ),
    Check(
        "config.drift",
        "error",
        "config.json as rendered",
        _of_config(_drift),
        ("config.servable", "release.manifest"),
    ),
)
