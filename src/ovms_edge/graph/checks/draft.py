"""Speculative decoding: ``draft_*`` options."""

from __future__ import annotations

from collections.abc import Iterator

from ovms_edge.finding import Finding
from ovms_edge.graph.checks.llm_case import LEGACY_PIPELINES, LlmCase
from ovms_edge.ovms import status

# Any of these without a draft model fails the load (src/llm/language_model/continuous_batching/
# servable_initializer.cpp, v2025.0 to v2026.3).
_OF_DRAFT = (
    "draft_max_num_batched_tokens",
    "draft_cache_size",
    "draft_dynamic_split_fuse",
    "draft_max_num_seqs",
    "draft_block_size",
    "draft_device",
)


def check_draft(case: LlmCase) -> Iterator[Finding]:
    """Yield what OVMS makes of the draft model's options."""
    draft = case.options.text("draft_models_path")
    given = [name for name in _OF_DRAFT if case.options.has(name)]
    legacy = case.pipeline in LEGACY_PIPELINES
    if given and (legacy or not draft):
        why = f"pipeline {case.pipeline} has no draft model" if legacy else "draft_models_path is not set"
        yield case.refused(
            status.DRAFT_WITHOUT_MODEL,
            f'{", ".join(given)}: {why}: "{status.DRAFT_WITHOUT_MODEL.log}"',
            "remove it" if legacy else f"set draft_models_path, or remove {', '.join(given)}",
            given[0],
        )
    if not draft or legacy:
        return
    if case.is_vlm or case.pipeline == "VLM_CB":
        yield case.refused(
            status.LOAD,
            "speculative decoding is not supported for a vision-language model",
            "remove draft_models_path and every draft_ option",
            "draft_models_path",
        )
    elif case.model is not None and case.model.decides(draft):
        there = case.model.resolve(draft)
        if there is None or not there.exists():
            message = f'there is no draft model: "{status.DRAFT_MODEL.log.format(draft)}"'
            yield case.refused(
                status.DRAFT_MODEL, message, "name the directory of an exported model", "draft_models_path"
            )
