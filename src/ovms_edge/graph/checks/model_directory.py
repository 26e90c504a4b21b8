"""``models_path`` and ``pipeline_type`` against what lies there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from ovms_edge.finding import Finding
from ovms_edge.graph.checks.llm_case import LEGACY_PIPELINES, OMNI_SINCE, PIPELINE_TYPE_SINCE, LlmCase
from ovms_edge.graph.model import ModelFacts
from ovms_edge.ovms import status

_GGUF_SINCE = (2025, 3)
_MODEL_FILES = (".xml", ".bin", ".onnx", ".pbtxt", ".json", ".safetensors")
_EXPERIMENTAL_2025_1 = (
    "continuous_batching_pipeline_config",
    "visual_language_model_pipeline_config",
    "llm_pipeline_config",
)
_TO_THE_GRAPH = 'write models_path: "./", the directory of graph.pbtxt'
# What a one-request-at-a-time pipeline does not read (src/llm/visual_language_model/legacy and
# src/llm/language_model/legacy, servable_initializer.cpp).
_IGNORED_BY_LEGACY = (
    "cache_size",
    "max_num_seqs",
    "max_num_batched_tokens",
    "dynamic_split_fuse",
    "enable_prefix_caching",
    "cache_eviction_config",
    "sparse_attention_config",
    "draft_models_path",
    "draft_eagle3_mode",
    "cache_interval_multiplier",
)


def check_models_path(case: LlmCase, model: ModelFacts | None) -> Iterator[Finding]:
    """Yield where ``models_path`` leads astray. ``model`` is what "./" leads to, None if not known."""
    if not case.options.has("models_path"):
        yield from _no_models_path(case)
        return
    models_path = case.options.text("models_path")
    suffix = PurePosixPath(models_path).suffix
    not_a_directory = status.NOT_A_DIRECTORY if case.release >= _GGUF_SINCE else status.OLD_NOT_A_DIRECTORY
    is_gguf = suffix == ".gguf" and case.release >= _GGUF_SINCE
    resolved = None
    if model is not None and model.decides(models_path):
        resolved = model.resolve(models_path)
        if resolved is None or not resolved.exists():
            yield _no_directory(case, models_path, resolved)
            return
    names_file = suffix in (*_MODEL_FILES, ".gguf")
    is_file = names_file if resolved is None else not resolved.is_dir()
    if is_file and not is_gguf:
        message = f'OVMS wants a directory: "{not_a_directory.log.format(models_path)}"'
        yield case.refused(not_a_directory, message, _TO_THE_GRAPH, "models_path")
    elif resolved is None and PurePosixPath(models_path).is_absolute():
        yield case.warned(
            "absolute_models_path",
            f"OVMS looks for {models_path} where it runs, in its container, and reports "
            f'{status.NO_DIRECTORY.code} if it is not mounted there: "'
            f'{status.NO_DIRECTORY.log.format(models_path)}"',
            _TO_THE_GRAPH,
            "models_path",
        )


def _no_directory(case: LlmCase, models_path: str, resolved: object) -> Finding:
    where = f" (here: {resolved})" if resolved is not None else " where OVMS runs"
    message = f'there is no {models_path}{where}: "{status.NO_DIRECTORY.log.format(models_path)}"'
    return case.refused(status.NO_DIRECTORY, message, _TO_THE_GRAPH, "models_path")


def _no_models_path(case: LlmCase) -> Iterator[Finding]:
    field = case.options.fields["models_path"]
    if field.required or "models_path" in case.options.entries:
        return  # protobuf has refused it already
    experimental = next((name for name in _EXPERIMENTAL_2025_1 if case.options.has(name)), None)
    if experimental == _EXPERIMENTAL_2025_1[0]:
        yield case.noted(
            "not_checked",
            f"{experimental} is an experiment of OVMS 2025.1, gone in 2025.2: it is not checked",
            "set models_path and the other options in LLMCalculatorOptions itself",
            experimental,
        )
        return
    log = "LLM node options do not contain any recognized pipeline configuration."
    message = f'models_path is not set: "{log}"'
    yield case.refused(status.NO_MODELS_PATH, message, _TO_THE_GRAPH, "models_path")


def check_model(case: LlmCase) -> Iterator[Finding]:
    """Yield what OVMS makes of the model at models_path, and of pipeline_type."""
    if case.model is not None:
        yield from _kind(case, case.model)
        yield from _files(case, case.model)
    if case.pipeline in LEGACY_PIPELINES:
        yield from _ignored(case)


def _kind(case: LlmCase, model: ModelFacts) -> Iterator[Finding]:
    asked = case.options.text("pipeline_type")
    if case.release < PIPELINE_TYPE_SINCE:
        if model.kind == "VLM":
            yield case.refused(
                status.LOAD,
                f"{model.directory} is a vision-language model, and OVMS {case.ovms_version} serves text "
                "models only: it looks for openvino_model.xml",
                "use OVMS 2025.1 or newer",
                "models_path",
            )
        return
    if asked == "AUTO":
        return
    wants_vlm = asked in ("VLM", "VLM_CB")
    if case.is_vlm and not wants_vlm:
        check, is_a, right = status.VLM_AS_TEXT, "a vision-language model", "VLM_CB"
    elif not case.is_vlm and wants_vlm:
        check, is_a, right = status.TEXT_AS_VLM, "no vision-language model, or a part of one", "LM_CB"
        if model.omni and case.release >= OMNI_SINCE:
            is_a, right = "an omni model", "OMNI"
    else:
        return
    message = f'pipeline_type is {asked}, {model.directory} holds {is_a}: "{check.log}"'
    yield case.refused(check, message, f"write pipeline_type: {right}, or remove it", "pipeline_type")


def _files(case: LlmCase, model: ModelFacts) -> Iterator[Finding]:
    log = status.LOAD.log.format(case.options.text("models_path"), "...")
    for name, reason in model.broken.items():
        message = f'OpenVINO cannot load {name}: {reason}: "{log}"'
        yield case.refused(status.LOAD, message, "export the model again, or copy it again", "models_path")


def _ignored(case: LlmCase) -> Iterator[Finding]:
    for name in _IGNORED_BY_LEGACY:
        if case.options.has(name):
            yield case.warned(
                "ignored_by_pipeline",
                f"pipeline {case.pipeline} serves one request at a time and does not read {name}",
                f"write pipeline_type: {case.pipeline}_CB, or remove {name}",
                name,
            )
