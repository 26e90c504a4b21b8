"""``plugin_config``: whether OVMS parses it, and whether the device knows the properties."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from ovms_edge.finding import Finding
from ovms_edge.graph.checks.llm_case import LlmCase
from ovms_edge.graph.checks.plugin_json import DEVICE_PROPERTIES, faults, plugin_properties
from ovms_edge.graph.checks.plugin_names import (
    CPU_KV_PRECISIONS,
    INFERENCE_PRECISIONS,
    KV_PRECISIONS,
    PERFORMANCE_HINTS,
    RENAMED_PROPERTIES,
    element_type,
    property_names,
)
from ovms_edge.ovms import status

_PATH = "plugin_config"
# from v2025.2 on (src/llm/visual_language_model/legacy/servable_initializer.cpp)
_LEGACY_VLM_READS_SINCE = (2025, 2)


def check_plugin_config(case: LlmCase) -> Iterator[Finding]:
    """Yield what OVMS, GenAI and the device make of plugin_config."""
    text = case.options.text(_PATH)
    try:
        properties = plugin_properties(text)
    except ValueError as error:
        yield _wrong_format(case, f"it is no JSON ({error})", text)
        return
    wrong = list(faults(properties))
    for fault in wrong:
        yield _wrong_format(case, fault, text)
    if wrong or not isinstance(properties, dict) or not properties:
        return
    if case.pipeline == "VLM" and case.release < _LEGACY_VLM_READS_SINCE:
        message = f"pipeline VLM of OVMS {case.ovms_version} does not pass plugin_config on"
        yield case.warned("no_effect", message, "write pipeline_type: VLM_CB", _PATH)
        return
    yield from _names(case, properties)
    yield from _values(case, properties)
    yield from _of_language_model(case, properties)


def _wrong_format(case: LlmCase, why: str, text: str) -> Finding:
    return case.refused(
        status.PLUGIN_CONFIG,
        f'plugin_config: {why}: "{status.PLUGIN_CONFIG.log.format(text)}"',
        'write a JSON object in single quotes, such as plugin_config: \'{"KV_CACHE_PRECISION": "u8"}\'',
        _PATH,
    )


def _names(case: LlmCase, properties: Mapping[str, object]) -> Iterator[Finding]:
    device = case.options.text("device")
    known = property_names(device)
    if known is None:
        return
    for key in properties:
        if key in RENAMED_PROPERTIES:
            message = f"{key} is an old name: OVMS reads it as {RENAMED_PROPERTIES[key]}"
            yield case.warned("old_name", message, f"write {RENAMED_PROPERTIES[key]}", f"{_PATH}.{key}")
        elif key not in known:
            close = difflib.get_close_matches(key.upper(), known, n=1)
            yield case.refused(
                status.LOAD,
                f"the {device.partition('.')[0]} plugin knows no property {key}: "
                f'"{status.LOAD.log.format(case.options.text("models_path"), "...")}"',
                f"write {close[0]}, if that is what was meant, or remove it" if close else "remove it",
                f"{_PATH}.{key}",
            )


def _values(case: LlmCase, properties: Mapping[str, object]) -> Iterator[Finding]:
    on_cpu = case.options.text("device") == "CPU"
    for key, allowed, read in (
        ("KV_CACHE_PRECISION", CPU_KV_PRECISIONS if on_cpu else KV_PRECISIONS, element_type),
        ("INFERENCE_PRECISION_HINT", INFERENCE_PRECISIONS, element_type),
        ("PERFORMANCE_HINT", PERFORMANCE_HINTS, str),
    ):
        value = properties.get(key)
        if value is None:
            continue
        path, fix = f"{_PATH}.{key}", f"set it to one of {', '.join(allowed)}"
        meant = read(str(value))
        if meant not in allowed:
            log = status.LOAD.log.format(case.options.text("models_path"), "...")
            yield case.refused(status.LOAD, f'{key} is {value!r}: "{log}"', fix, path)
        elif meant == "dynamic" != value:
            message = (
                f"{key} is {value!r}, which names no type: OpenVINO takes it for dynamic, its own choice"
            )
            yield case.warned("no_type", message, fix, path)


def _of_language_model(case: LlmCase, properties: Mapping[str, object]) -> Iterator[Finding]:
    vlm = case.is_vlm or case.pipeline in ("VLM", "VLM_CB")
    if vlm and properties.get("prompt_lookup") is True:
        yield case.refused(
            status.LOAD,
            'prompt_lookup: "Prompt lookup decoding is not supported for models with embeddings"',
            "remove prompt_lookup",
            f"{_PATH}.prompt_lookup",
        )
    cache = properties.get("CACHE_DIR")
    if isinstance(cache, str) and cache:
        yield from _cache_dir(case, cache, vlm)
    if DEVICE_PROPERTIES in properties and ":" not in case.options.text("device"):
        yield case.noted(
            "not_checked",
            f"{DEVICE_PROPERTIES} is not checked",
            "write the properties themselves: device names a single one",
            f"{_PATH}.{DEVICE_PROPERTIES}",
        )


def _cache_dir(case: LlmCase, cache: str, vlm: bool) -> Iterator[Finding]:
    path = f"{_PATH}.CACHE_DIR"
    if cache.startswith("/models") or not PurePosixPath(cache).is_absolute():
        yield case.warned(
            "cache_dir_not_writable",
            f"CACHE_DIR is {cache}: models are mounted read-only, and a relative path starts where the "
            "server was started; the user of OVMS (uid 5000) has to be able to write there",
            "mount a directory for it, and write CACHE_DIR: /cache",
            path,
        )
    if vlm:
        yield case.noted(
            "language_model_only",
            "plugin_config reaches the language model only: vision encoder and embeddings are compiled at "
            "each start, CACHE_DIR or not",
            "allow for it in the start timeout",
            path,
        )
