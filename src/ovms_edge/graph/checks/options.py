"""Options of the node that are neither model, cache nor plugin."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ovms_edge.finding import Finding
from ovms_edge.graph.checks.llm_case import LEGACY_PIPELINES, LlmCase
from ovms_edge.ovms import status
from ovms_edge.ovms.kv_cache import DEFAULT_TOKENS_PER_REQUEST

_DEVICE = re.compile(r"(?:CPU|GPU(?:\.\d+)?|NPU(?:\.\d+)?|(?:AUTO|MULTI|HETERO|BATCH)(?::.+)?)")
_NO_DEFAULT_DEVICE_SINCE = (2026, 3)
_BLOCK_SIZE_IGNORED_SINCE = (2024, 5)
_PARSERS_CHECKED_SINCE = (2026, 3)
_PARSER_DISABLED = "none"
# src/llm/io_processing/output_parser.cpp, from 2026.3 on parser_config_validation.cpp: since when each exists
_TOOL_PARSERS = {
    **dict.fromkeys(("llama3", "hermes3", "phi4", "mistral"), (2025, 3)),
    **dict.fromkeys(("gptoss", "qwen3coder"), (2025, 4)),
    "devstral": (2026, 0),
    **dict.fromkeys(("lfm2", "gemma4"), (2026, 2)),
    "minicpm5": (2026, 3),
}
_REASONING_PARSERS = {
    "qwen3": (2025, 3),
    "gptoss": (2025, 4),
    "gemma4": (2026, 2),
    **dict.fromkeys(("minicpm5", "lfm2"), (2026, 3)),
}


def check_options(case: LlmCase) -> Iterator[Finding]:
    """Yield what OVMS makes of device, limits, scheduling and parsers."""
    yield from _device(case)
    yield from _limits(case)
    if case.pipeline not in LEGACY_PIPELINES:
        yield from _scheduling(case)
    yield from _parser(case, "tool_parser", _TOOL_PARSERS)
    yield from _parser(case, "reasoning_parser", _REASONING_PARSERS)
    yield from _without_effect(case)


def _device(case: LlmCase) -> Iterator[Finding]:
    if not case.options.has("device"):
        if case.release >= _NO_DEFAULT_DEVICE_SINCE:
            what = f"OVMS {case.ovms_version} chooses one itself"
        else:
            what = "OVMS uses the CPU"
        yield case.warned(
            "device_not_set",
            f"device is not set: {what}; it is not the same in every version",
            'set it, such as device: "GPU"',
            "device",
        )
        return
    device = case.options.text("device")
    if not _DEVICE.fullmatch(device):
        meant = device.upper() if _DEVICE.fullmatch(device.upper()) else "GPU, GPU.1 or CPU"
        yield case.refused(
            status.LOAD,
            f'OpenVINO has no device "{device}": "Device with "{device}" name is not registered in the '
            'OpenVINO Runtime"',
            f"write device: {meant}",
            "device",
        )
    elif device.startswith("NPU") and (case.is_vlm or case.pipeline == "VLM_CB"):
        yield case.warned(
            "vlm_on_npu",
            "a vision-language model on an NPU is not known to load",
            'write device: "GPU"',
            "device",
        )


def _limits(case: LlmCase) -> Iterator[Finding]:
    limit = case.options.value("max_tokens_limit")
    if limit is None:
        yield case.noted(
            "no_max_tokens_limit",
            "max_tokens_limit is not set: a request that names no max_tokens runs to the model's length",
            "set it to the longest answer that is useful, such as 512",
            "max_tokens_limit",
        )
    elif limit == 0:
        yield case.warned(
            "max_tokens_limit_zero",
            "max_tokens_limit is 0: every request that asks for an answer is refused",
            "set it to the longest answer that is useful, such as 512",
            "max_tokens_limit",
        )


def _scheduling(case: LlmCase) -> Iterator[Finding]:
    batched, sequences = case.options.number("max_num_batched_tokens"), case.options.number("max_num_seqs")
    for name, value in (("max_num_batched_tokens", batched), ("max_num_seqs", sequences)):
        if value == 0:
            yield case.warned(
                "nothing_scheduled",
                f"{name} is 0: it loads, and no request is ever computed",
                f"set {name} to 1 or more, or remove it",
                name,
            )
    if case.options.value("dynamic_split_fuse") is not False or batched == 0:
        return
    # src/cpp/src/continuous_batching/scheduler.hpp; OVMS ends its process on any exception of a step
    if sequences > batched:
        yield case.warned(
            "first_request_ends_server",
            f"max_num_seqs {sequences} is above max_num_batched_tokens {batched}, without "
            "dynamic_split_fuse: it loads, and the first request ends the server",
            f"set max_num_seqs to at most {batched}, or dynamic_split_fuse: true",
            "max_num_seqs",
        )
    if batched < DEFAULT_TOKENS_PER_REQUEST:
        yield case.warned(
            "long_prompt_ends_server",
            f"without dynamic_split_fuse a prompt of more than {batched} tokens (max_num_batched_tokens) "
            f"ends the server; three pictures in full HD and a prompt are {DEFAULT_TOKENS_PER_REQUEST}",
            "set dynamic_split_fuse: true, or raise max_num_batched_tokens",
            "dynamic_split_fuse",
        )


def _parser(case: LlmCase, name: str, known: dict[str, tuple[int, int]]) -> Iterator[Finding]:
    value = case.options.text(name)
    if not value or not case.options.has(name):
        return
    names = [parser for parser, since in known.items() if case.release >= since]
    checked = case.release >= _PARSERS_CHECKED_SINCE
    if value in names or (checked and value == _PARSER_DISABLED):
        return
    fix = f"use one of {', '.join(names)}, or remove it"
    if checked:
        message = f'{name} "{value}" is unknown: "{status.PARSER_NAME.log.format(name)}"'
        yield case.refused(status.PARSER_NAME, message, fix, name)
    else:
        message = f'OVMS {case.ovms_version} knows no {name} "{value}": it loads, and requests fail'
        yield case.warned("unknown_parser", message, fix, name)


def _without_effect(case: LlmCase) -> Iterator[Finding]:
    if case.options.has("block_size") and case.release >= _BLOCK_SIZE_IGNORED_SINCE:
        yield case.warned(
            "no_effect",
            "block_size has no effect since OVMS 2024.5, and OVMS 2025.0 and newer refuse it",
            "remove it",
            "block_size",
        )
    if case.options.value("enable_tool_guided_generation") is True and not case.options.text("tool_parser"):
        yield case.warned(
            "no_effect",
            "enable_tool_guided_generation does nothing without tool_parser",
            "set tool_parser, or remove it",
            "enable_tool_guided_generation",
        )
    if case.options.has("draft_eagle3_mode") and not case.options.text("draft_models_path"):
        yield case.warned(
            "no_effect",
            "draft_eagle3_mode does nothing without draft_models_path",
            "set draft_models_path, or remove it",
            "draft_eagle3_mode",
        )
