"""What an export was asked for, and what that means for the graph and for optimum-intel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import UsageError
from ovms_edge.export.architecture import TASKS, Kind
from ovms_edge.ovms.fields import DEFAULT_OVMS_VERSION

DEFAULT_WEIGHT_FORMAT = "int8"
DEFAULT_TARGET_MEMORY_GIB = 32
# Choices of optimum-cli export openvino (optimum-intel 1.27.0)
WEIGHT_FORMATS = ("fp32", "fp16", "int8", "int4", "mxfp4", "nf4", "cb4")
COMPRESSED_BITS = {"int8": 8, "int4": 4, "mxfp4": 4, "nf4": 4, "cb4": 4, "fp16": 16, "fp32": 32}
PIPELINE_TYPES = ("LM", "LM_CB", "VLM", "VLM_CB", "AUTO")

# What an NPU takes: model_server v2025.4.1, demos/common/export_models/export_model.py
_NPU_WEIGHT_FORMATS = ("int4", "nf4")
_NPU_QUANTIZATION = ("--sym", "--ratio", "1.0", "--group-size", "-1")
_GPT_OSS = "gptoss"
# What the exporter itself tells optimum-cli; the output is its last word.
_SET_BY_EXPORTER = ("--model", "--output", "--task", "--trust-remote-code", "--weight-format")


@dataclass(frozen=True)
class ExportOptions:
    """One export of a text generating model. None leaves the value to OVMS, or to what fits.

    ``cache_size`` in GiB: 0 grows as needed, None is planned for a host of ``target_memory_gib``.
    """

    source_model: str
    model_repository_path: Path = Path("models")
    model_name: str | None = None
    revision: str | None = None
    weight_format: str | None = None
    config_file_path: Path | None = None
    overwrite_models: bool = False
    trust_remote_code: bool = False
    extra_quantization_params: tuple[str, ...] = ()
    draft_source_model: str | None = None
    draft_model_name: str | None = None
    ovms_version: str = DEFAULT_OVMS_VERSION
    target_device: str = "CPU"
    cache_size: int | None = None
    target_memory_gib: int = DEFAULT_TARGET_MEMORY_GIB
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    max_tokens_limit: int | None = None
    enable_prefix_caching: bool = False
    disable_dynamic_split_fuse: bool = False
    pipeline_type: str | None = None
    kv_cache_precision: str | None = None
    ov_cache_dir: str | None = None
    max_prompt_len: int | None = None
    prompt_lookup_decoding: bool = False
    reasoning_parser: str | None = None
    tool_parser: str | None = None
    enable_tool_guided_generation: bool = False
    dry_run: bool = False
    skip_memory_check: bool = False

    @property
    def config_file(self) -> Path:
        """OVMS's ``config.json``."""
        return self.config_file_path or self.model_repository_path / "config.json"

    @property
    def on_npu(self) -> bool:
        """Whether the target is an NPU, alone."""
        return self.target_device.partition(".")[0] == "NPU"

    @property
    def chosen_weight_format(self) -> str:
        """The weight format of what is converted."""
        return self.weight_format or (_NPU_WEIGHT_FORMATS[0] if self.on_npu else DEFAULT_WEIGHT_FORMAT)

    @property
    def needs_hub_to_convert(self) -> bool:
        """Whether the conversion itself may download: calibration data, code of other repositories."""
        calibrates = "--dataset" in self.extra_quantization_params or self.chosen_weight_format == "int4"
        return self.trust_remote_code or calibrates

    def quantization(self) -> tuple[str, ...]:
        """Return the parameters for optimum-cli beside the weight format."""
        if self.on_npu and not self.extra_quantization_params:
            return _NPU_QUANTIZATION
        return self.extra_quantization_params

    def optimum_arguments(self, kind: Kind, quantization: tuple[str, ...]) -> list[str]:
        """Return what ``optimum-cli export openvino`` is told besides the model and the output."""
        trust = ["--trust-remote-code"] if self.trust_remote_code else []
        return [
            *("--task", TASKS[kind], "--weight-format", self.chosen_weight_format),
            *trust,
            *quantization,
        ]

    def graph_options(self, cache_size: int, draft_directory: str | None = None) -> dict[str, Any]:
        """Return the fields of ``LLMCalculatorOptions`` that this export sets."""
        options = {
            "device": self.target_device,
            "cache_size": cache_size,
            "max_num_seqs": self.max_num_seqs,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "max_tokens_limit": self.max_tokens_limit,
            "enable_prefix_caching": self.enable_prefix_caching,
            "dynamic_split_fuse": False if self.disable_dynamic_split_fuse else None,
            "pipeline_type": self.pipeline_type,
            "plugin_config": self._plugin_config() or None,
            "draft_models_path": f"./{draft_directory}" if draft_directory else None,
            "reasoning_parser": self.reasoning_parser,
            "tool_parser": self.tool_parser,
            "enable_tool_guided_generation": self.enable_tool_guided_generation or None,
        }
        return {name: value for name, value in options.items() if value is not None}

    def _plugin_config(self) -> Mapping[str, Any]:
        heterogeneous = self.target_device.startswith("HETERO")
        properties = {
            "KV_CACHE_PRECISION": self.kv_cache_precision,
            "CACHE_DIR": self.ov_cache_dir,
            "MAX_PROMPT_LEN": self.max_prompt_len,
            "prompt_lookup": self.prompt_lookup_decoding or None,
            "MODEL_DISTRIBUTION_POLICY": "PIPELINE_PARALLEL" if heterogeneous else None,
        }
        return {key: value for key, value in properties.items() if value is not None}


def check_combination(options: ExportOptions) -> None:
    """Raise UsageError for options that contradict each other, whatever the model is."""
    _check_quantization(options.extra_quantization_params)
    if options.max_prompt_len is not None and not options.on_npu:
        raise UsageError(
            f"--max_prompt_len is for an NPU, the target device is {options.target_device}", "leave it out"
        )
    if options.on_npu and options.chosen_weight_format not in _NPU_WEIGHT_FORMATS:
        raise UsageError(
            f"an NPU takes {' or '.join(_NPU_WEIGHT_FORMATS)}, --weight-format is {options.weight_format}",
            "leave it out, or give one of these",
        )
    if _GPT_OSS in (options.tool_parser, options.reasoning_parser) and (
        options.tool_parser != options.reasoning_parser
    ):
        raise UsageError(
            f"--tool_parser is {options.tool_parser}, --reasoning_parser {options.reasoning_parser}",
            f"give {_GPT_OSS} to both or to none",
        )
    if options.enable_tool_guided_generation and options.tool_parser is None:
        raise UsageError("--enable_tool_guided_generation needs --tool_parser", "give it, or leave this out")
    if options.prompt_lookup_decoding and options.draft_source_model:
        raise UsageError(
            "--prompt_lookup_decoding and --draft_source_model are two ways of the same", "choose one"
        )


def _check_quantization(words: tuple[str, ...]) -> None:
    for number, word in enumerate(words):
        name = word.partition("=")[0]
        # argparse takes abbreviations, and a first word that is no option for the output
        abbreviated = name.startswith("--") and any(option.startswith(name) for option in _SET_BY_EXPORTER)
        if abbreviated or name.startswith("-m") or (number == 0 and not name.startswith("-")):
            raise UsageError(
                f"--extra_quantization_params holds {word!r}, which is for the exporter to say",
                "leave it out; model, task and weight format have options of their own",
            )


def check_for_kind(options: ExportOptions, kind: Kind, name: str) -> None:
    """Raise UsageError for options that a model of ``kind`` cannot be served with.

    Source: model_server v2025.4.1, src/llm/servable_initializer.cpp (pipeline types) and
    src/llm/visual_language_model (no draft model, no prompt lookup).
    """
    what = "a vision-language model" if kind == "VLM" else "a language model"
    allowed = ("AUTO", kind, f"{kind}_CB")
    if options.pipeline_type is not None and options.pipeline_type not in allowed:
        raise UsageError(
            f"--pipeline_type {options.pipeline_type} cannot load {name}: it is {what}",
            f"give one of {', '.join(allowed)}, or leave it out",
        )
    if kind == "VLM":
        for option, given in (
            ("--draft_source_model", options.draft_source_model),
            ("--prompt_lookup_decoding", options.prompt_lookup_decoding),
        ):
            if given:
                raise UsageError(
                    f"{option} is for language models, {name} is {what}",
                    "leave it out, or name a language model",
                )
