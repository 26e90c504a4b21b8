"""``graph.pbtxt`` as it lies there, against what OVMS of this version takes and what was rendered.

``ovms-edge graph check`` on a builder says more: it parses as OVMS does, with protobuf.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from ovms_edge.errors import EdgeError
from ovms_edge.graph.text.syntax import GraphSyntaxError, Message, parse
from ovms_edge.node.container import DesiredServer
from ovms_edge.node.doctor.checks.words import activate, some
from ovms_edge.node.doctor.evidence import Evidence, ModelEvidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict
from ovms_edge.node.releases import StagedRelease
from ovms_edge.node.state import Deployment
from ovms_edge.ovms.fields import KNOWN_VERSIONS, fields_for
from ovms_edge.ovms.graph import MODELS_PATH
from ovms_edge.ovms.memory import HostMemory, ModelMemory, plan_memory

_CALCULATOR = "HttpLLMCalculator"
_OPTIONS = "[type.googleapis.com/mediapipe.LLMCalculatorOptions]"
_SAME_PATHS = (MODELS_PATH, ".")


def _with_model(look: Callable[[Evidence, ModelEvidence], Verdict]) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        return look(evidence, evidence.model) if evidence.model else Unknown("nothing is active")

    return check


def _with_options(look: Callable[[Evidence, Deployment, Message], Verdict]) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        options = _options(_tree(evidence))
        if options is None or evidence.active is None:
            return Unknown("no graph with options to read")
        return look(evidence, evidence.active, options)

    return check


def _tree(evidence: Evidence) -> Message | None:
    try:
        return parse(evidence.model.graph_text or "") if evidence.model else None
    except GraphSyntaxError:
        return None


def _options(tree: Message | None) -> Message | None:
    found = [
        options
        for node in (tree.messages("node") if tree else ())
        for entry in node.messages("node_options")
        for options in entry.messages(_OPTIONS)
    ]
    return found[0] if found else None


def _missing(evidence: Evidence, model: ModelEvidence) -> Verdict:
    if model.graph_text is not None:
        return None
    found = f"no {model.directory / 'graph.pbtxt'}: OVMS then looks for version directories"
    return Trouble(found, "what ovms-node renders", activate(evidence))


def _format(evidence: Evidence, model: ModelEvidence) -> Verdict:
    text = model.graph_text
    if text is None:
        return Unknown("no graph to read")
    try:
        parse(text)
    except GraphSyntaxError as error:
        kind = "is JSON" if text.lstrip().startswith("{") else f"line {error.line}: {error.problem}"
        return Trouble(f"graph.pbtxt {kind}", "protobuf's text format", activate(evidence))
    if text.strip():
        return None
    return Trouble("graph.pbtxt is empty", "protobuf's text format", activate(evidence))


def _version(evidence: Evidence, _model: ModelEvidence) -> Verdict:
    tree, active = _tree(evidence), evidence.active
    if tree is None or active is None:
        return Unknown("no graph to read")
    version = str(active.settings.get("ovms_version"))
    options = _options(tree)
    calculators = [name for node in tree.messages("node") for name in node.texts("calculator")]
    expected = f"{_CALCULATOR} with the options that OVMS {version} knows"
    if calculators != [_CALCULATOR] or options is None:
        lacks = "" if options else " and no LLM options"
        found = f"graph.pbtxt has {some(calculators) or 'no calculator'}{lacks}"
        return Trouble(found, expected, activate(evidence))
    unknown = [entry.name for entry in options.entries if entry.name not in fields_for(version)]
    if not unknown:
        return None
    others = [known for known in KNOWN_VERSIONS if unknown[0] in fields_for(known)]
    of = f", which OVMS {others[0]} to {others[-1]} have" if others else ""
    return Trouble(f"graph.pbtxt has {some(unknown)}{of}", expected, activate(evidence))


def _path(evidence: Evidence, _active: Deployment, options: Message) -> Verdict:
    found = options.texts("models_path")
    if found and found[-1] in _SAME_PATHS:
        return None
    return Trouble(f"models_path is {found[-1] if found else 'not set'}", MODELS_PATH, activate(evidence))


def _device(evidence: Evidence, active: Deployment, options: Message) -> Verdict:
    wanted, found = str(active.settings.get("device")), options.texts("device")
    if found and found[-1] == wanted:
        return None
    return Trouble(f"the graph's device is {found[-1] if found else 'not set'}", wanted, activate(evidence))


def _cache(evidence: Evidence, active: Deployment, options: Message) -> Verdict:
    """See whether the cache still fits: the graph may have been changed, and so may this host's memory."""
    written = options.texts("cache_size")
    release = evidence.model.release if evidence.model else None
    if not written or not isinstance(release, StagedRelease):
        return Unknown("no cache_size, or no release to plan for")
    if not written[-1].isdecimal() or written[-1] == "0":
        return Trouble(f"cache_size is {written[-1]}", "whole GiB, 1 or more", activate(evidence))
    memory = release.manifest.memory
    try:
        plan_memory(
            ModelMemory(memory.weights_bytes, memory.kv_bytes_per_token),
            HostMemory(evidence.host.memory_total),
            int(written[-1]),
            ovms_version=str(active.settings.get("ovms_version")),
            device=str(active.settings.get("device")),
        )
    except EdgeError as error:
        fix = f"{activate(evidence)} # if the graph was edited; else {error.remedy}, then run site.yml"
        return Trouble(error.reason, "a cache that fits into this host's memory", fix)
    return None


def _drift(evidence: Evidence, model: ModelEvidence) -> Verdict:
    rendered = evidence.rendered
    if model.graph_text is None or not isinstance(rendered, DesiredServer):
        return Unknown("nothing to compare")
    if model.graph_text == rendered.graph_text:
        return None
    changes = [
        " ".join(line.split())
        for line in difflib.unified_diff(
            rendered.graph_text.splitlines(), model.graph_text.splitlines(), lineterm="", n=0
        )
        if line[:1] in "+-" and line[:3] not in ("+++", "---") and line[1:].strip()
    ]
    found = f"graph.pbtxt was changed since it was rendered: {some(changes) or 'blanks'}"
    return Trouble(found, "what ovms-node rendered", activate(evidence))


CHECKS = (
    Check("graph.missing", "error", "graph.pbtxt", _with_model(_missing), ("model.generation",)),
    Check("graph.format", "error", "is it protobuf text", _with_model(_format), ("graph.missing",)),
    Check(
        "graph.version",
        "error",
        "its fields against the OVMS version",
        _with_model(_version),
        ("graph.format",),
    ),
    Check("graph.path", "error", "models_path in it", _with_options(_path), ("graph.version",)),
    Check("graph.device", "error", "device in it", _with_options(_device), ("graph.version",)),
    Check(
        "graph.cache",
        "error",
        "cache_size against this host's memory",
        _with_options(_cache),
        ("graph.version", "host.memory"),
    ),
    Check(
        "graph.drift",
        "error",
        "graph.pbtxt as rendered",
        _with_model(_drift),
        ("graph.path", "graph.device", "graph.cache", "release.manifest", "gpu.render-mode"),
    ),
)
