"""The command line of ``export_model.py``, and what it means for the graph.

Names follow model_server v2025.4.1, demos/common/export_models/export_model.py, so that its command lines
go on working. What this one does not do is not an option.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import UsageError

DEFAULT_OVMS_VERSION = "2025.4.1"
DEFAULT_CACHE_SIZE_GIB = 4
TASK = "image-text-to-text"
WEIGHT_FORMATS = ("int8", "int4", "fp16")
# LM and LM_CB would fail to load: they cannot hold a vision model (src/llm/servable_initializer.cpp).
PIPELINE_TYPES = ("VLM", "VLM_CB", "AUTO")

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")


@dataclass(frozen=True)
class ExportOptions:
    """One export of a text generating model. ``cache_size`` in GiB, 0: OVMS grows the cache as needed.

    None leaves the value to OVMS's default.
    """

    source_model: str
    model_repository_path: Path
    model_name: str | None = None
    weight_format: str = "int8"
    config_file_path: Path | None = None
    overwrite_models: bool = False
    trust_remote_code: bool = False
    extra_quantization_params: tuple[str, ...] = ()
    ovms_version: str = DEFAULT_OVMS_VERSION
    target_device: str = "CPU"
    cache_size: int = DEFAULT_CACHE_SIZE_GIB
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    enable_prefix_caching: bool = False
    disable_dynamic_split_fuse: bool = False
    pipeline_type: str | None = None
    kv_cache_precision: str | None = None
    ov_cache_dir: str | None = None

    @property
    def config_file(self) -> Path:
        """OVMS's ``config.json``."""
        return self.config_file_path or self.model_repository_path / "config.json"

    def graph_options(self) -> dict[str, Any]:
        """Return the fields of ``LLMCalculatorOptions`` that this export sets."""
        plugin_config = {"KV_CACHE_PRECISION": self.kv_cache_precision, "CACHE_DIR": self.ov_cache_dir}
        options = {
            "device": self.target_device,
            "cache_size": self.cache_size,
            "max_num_seqs": self.max_num_seqs,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "enable_prefix_caching": self.enable_prefix_caching,
            "dynamic_split_fuse": False if self.disable_dynamic_split_fuse else None,
            "pipeline_type": self.pipeline_type,
            "plugin_config": {key: value for key, value in plugin_config.items() if value} or None,
        }
        return {name: value for name, value in options.items() if value is not None}

    def optimum_arguments(self) -> list[str]:
        """Return what ``optimum-cli export openvino`` is told besides the model and the output."""
        trust = ["--trust-remote-code"] if self.trust_remote_code else []
        return [
            *("--task", TASK, "--weight-format", self.weight_format),
            *trust,
            *self.extra_quantization_params,
        ]


def parse_arguments(arguments: Sequence[str]) -> ExportOptions:
    """Read the command line. Ends the process (status 2) on ``--help`` or if argparse refuses it.

    Raises UsageError for a model name that cannot be a directory in the repository.
    """
    parser = argparse.ArgumentParser(
        prog="export_model.py", description="Export a model into a model repository of OVMS."
    )
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    _add_text_generation(
        tasks.add_parser(
            "text_generation",
            help="a vision-language model that answers chat completions",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
    )
    values = vars(parser.parse_args(arguments))
    del values["task"]
    options = ExportOptions(**values)
    if options.model_name is not None:
        check_model_name(options.model_name)
    return options


def check_model_name(name: str) -> None:
    """Raise UsageError unless ``name`` is plain: it is a directory, a URL part and a JSON string."""
    if not _MODEL_NAME.fullmatch(name):
        raise UsageError(
            f"model name {name!r} is not plain",
            "give --model_name letters, digits, . _ - and /, such as Qwen/Qwen2.5-VL-7B-Instruct-ov-int8",
        )


def _add_text_generation(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    model.add_argument("--source_model", required=True, help="Hugging Face id or local directory")
    model.add_argument(
        "--weight-format", "--weight_format", dest="weight_format", choices=WEIGHT_FORMATS, default="int8"
    )
    model.add_argument(
        "--extra_quantization_params",
        type=_words,
        default=(),
        help="further arguments for optimum-cli, as one string",
    )
    model.add_argument(
        "--trust_remote_code",
        action="store_true",
        help="run Python code that the source model brings with it",
    )
    repository = parser.add_argument_group("repository")
    repository.add_argument(
        "--model_repository_path", type=Path, default=Path("models"), help="made if it is missing"
    )
    repository.add_argument("--model_name", help="servable name; derived from the source model if not given")
    repository.add_argument(
        "--config_file_path", type=Path, help="config.json of the repository if not given"
    )
    repository.add_argument(
        "--overwrite_models",
        action="store_true",
        help="replace an export that is there, once the new is whole",
    )
    _add_graph(parser.add_argument_group("graph.pbtxt"))


def _add_graph(graph: argparse._ArgumentGroup) -> None:
    graph.add_argument("--ovms_version", default=DEFAULT_OVMS_VERSION, help="whose options the graph may use")
    graph.add_argument("--target_device", default="CPU", help="CPU, GPU or GPU.n")
    graph.add_argument(
        "--cache_size",
        type=_count,
        default=DEFAULT_CACHE_SIZE_GIB,
        help="KV cache in GiB; 0: grows as needed",
    )
    graph.add_argument("--max_num_seqs", type=_positive, help="requests at once")
    graph.add_argument("--max_num_batched_tokens", type=_positive, help="tokens of one step")
    graph.add_argument(
        "--enable_prefix_caching",
        type=_truth,
        nargs="?",
        const=True,
        default=False,
        metavar="true|false",
        help="reuse the KV cache of prompts that begin alike",
    )
    graph.add_argument("--disable_dynamic_split_fuse", action="store_true", help="never split a prompt")
    graph.add_argument("--pipeline_type", choices=PIPELINE_TYPES)
    graph.add_argument("--kv_cache_precision", choices=("u8",))
    graph.add_argument("--ov_cache_dir", help="compile cache, as the server's container sees it")


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"
