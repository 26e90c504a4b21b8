"""The options of the LLM nodes: what OVMS makes of them when it loads the model, and with requests later.

Sources: model_server src/llm/servable_initializer.cpp and src/llm/*/*/servable_initializer.cpp at the tags
v2025.1 to v2026.3, src/llm/llmnoderesources.cpp at v2024.4 to v2025.0; openvino.genai at the same releases.
"""

from __future__ import annotations

from collections.abc import Iterator

from ovms_edge.finding import Finding
from ovms_edge.graph.checks.cache import check_cache
from ovms_edge.graph.checks.calculators import LLM_CALCULATOR_ENDING
from ovms_edge.graph.checks.draft import check_draft
from ovms_edge.graph.checks.llm_case import LlmCase
from ovms_edge.graph.checks.llm_node import LlmNode, options_of
from ovms_edge.graph.checks.model_directory import check_model, check_models_path
from ovms_edge.graph.checks.options import check_options
from ovms_edge.graph.checks.plugin import check_plugin_config
from ovms_edge.graph.checks.tree import TreeGraph, TreeNode
from ovms_edge.graph.model import ModelFacts
from ovms_edge.graph.text.syntax import Message
from ovms_edge.ovms.fields import fields_for
from ovms_edge.ovms.memory import HostMemory


def check_semantics(
    graph: TreeGraph, ovms_version: str, model: ModelFacts | None, host: HostMemory | None
) -> Iterator[Finding]:
    """Yield what OVMS ``ovms_version`` makes of the options of each LLM node."""
    for index, node in enumerate(graph.nodes):
        if node.calculator.endswith(LLM_CALCULATOR_ENDING):
            llm = _llm_node(index, node, ovms_version)
            if llm is not None:
                yield from _check(llm, ovms_version, model, host)


def _check(
    llm: LlmNode, ovms_version: str, model: ModelFacts | None, host: HostMemory | None
) -> Iterator[Finding]:
    without_model = LlmCase(llm, ovms_version, None, host)
    yield from check_models_path(without_model, model)
    there = model.at(llm.options.text("models_path")) if model is not None else None
    case = LlmCase(llm, ovms_version, there, host)
    yield from check_model(case)
    yield from check_options(case)
    yield from check_draft(case)
    yield from check_plugin_config(case)
    yield from check_cache(case)


def _llm_node(index: int, node: TreeNode, ovms_version: str) -> LlmNode | None:
    entry = node.llm_options
    if entry is None or not isinstance(entry.value, Message):
        return None
    return LlmNode(index, node, options_of(entry.value, fields_for(ovms_version)), entry)
