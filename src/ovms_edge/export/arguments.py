"""The command line of ``export_model.py``.

Names and meaning follow model_server v2025.4.1, demos/common/export_models/export_model.py, so that its
command lines go on working; what is this project's own says so.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ovms_edge.errors import UsageError
from ovms_edge.export.options import (
    DEFAULT_TARGET_MEMORY_GIB,
    PIPELINE_TYPES,
    WEIGHT_FORMATS,
    ExportOptions,
    check_combination,
)
from ovms_edge.ovms.fields import DEFAULT_OVMS_VERSION

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")

_EXAMPLE = """\
example:
  export_model.py text_generation --source_model Qwen/Qwen2.5-VL-7B-Instruct --weight-format int8 \\
    --target_device GPU --model_repository_path models --max_num_seqs 1 --enable_prefix_caching
"""


def parse_arguments(arguments: Sequence[str]) -> ExportOptions:
    """Read the command line. Ends the process (status 2) on ``--help`` or if argparse refuses it.

    Raises UsageError for a model name that cannot be a directory in the repository, and for options that
    contradict each other.
    """
    parser = argparse.ArgumentParser(
        prog="export_model.py", description="Export a model into a model repository of OVMS."
    )
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    text_generation = tasks.add_parser(
        "text_generation",
        help="a model that answers chat completions, with images or without",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_model(text_generation.add_argument_group("model"))
    _add_repository(text_generation.add_argument_group("repository"))
    _add_graph(text_generation.add_argument_group("graph.pbtxt"))
    _add_run(text_generation.add_argument_group("this run"))
    values = vars(parser.parse_args(arguments))
    del values["task"]
    options = ExportOptions(**values)
    # Upstream takes a draft model's name alone for its source, too.
    options = replace(options, draft_source_model=options.draft_source_model or options.draft_model_name)
    if options.model_name is not None:
        check_model_name(options.model_name)
    if options.draft_model_name is not None:
        check_model_name(options.draft_model_name, "--draft_model_name")
    check_combination(options)
    return options


def check_model_name(name: str, option: str = "--model_name") -> None:
    """Raise UsageError unless ``name`` is plain: it is a directory, a URL part and a JSON string."""
    if not _MODEL_NAME.fullmatch(name):
        raise UsageError(
            f"model name {name!r} is not plain",
            f"give {option} letters, digits, . _ - and /, such as Qwen/Qwen2.5-VL-7B-Instruct-ov-int8",
        )


def _add_model(model: argparse._ArgumentGroup) -> None:
    model.add_argument(
        "--source_model",
        required=True,
        help="Hugging Face id, or local directory with a PyTorch model or OpenVINO IR",
    )
    model.add_argument("--revision", help="commit, tag or branch of a Hugging Face id (ours; default main)")
    model.add_argument(
        "--weight-format",
        "--weight_format",
        dest="weight_format",
        choices=WEIGHT_FORMATS,
        help="default int8; int4 for an NPU; of OpenVINO IR what it holds",
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
        help="run Python code that the source model brings with it (ours; upstream always does)",
    )
    model.add_argument(
        "--draft_source_model", help="a smaller model for speculative decoding, exported beside the other"
    )
    model.add_argument("--draft_model_name", help="its directory; default: its own name")


def _add_repository(repository: argparse._ArgumentGroup) -> None:
    repository.add_argument(
        "--model_repository_path", type=Path, default=Path("models"), help="default models; made if missing"
    )
    repository.add_argument("--model_name", help="servable name; default: the source's and -ov-WEIGHT_FORMAT")
    repository.add_argument("--config_file_path", type=Path, help="default: config.json of the repository")
    repository.add_argument(
        "--overwrite_models",
        action="store_true",
        help="replace an export that is there, once the new one is whole",
    )


def _add_graph(graph: argparse._ArgumentGroup) -> None:
    graph.add_argument(
        "--ovms_version",
        default=DEFAULT_OVMS_VERSION,
        help=f"whose options the graph may use (ours; default {DEFAULT_OVMS_VERSION})",
    )
    graph.add_argument(
        "--target_device", default="CPU", help="CPU (default), GPU, GPU.n, NPU or HETERO:GPU,CPU"
    )
    graph.add_argument("--cache_size", type=_count, help="KV cache in GiB; 0 grows as needed; default: fits")
    graph.add_argument(
        "--target_memory_gib",
        type=_positive,
        default=DEFAULT_TARGET_MEMORY_GIB,
        help=f"memory of the host that serves (ours; default {DEFAULT_TARGET_MEMORY_GIB})",
    )
    graph.add_argument("--max_num_seqs", type=_positive, help="requests at once; OVMS's default is 256")
    graph.add_argument("--max_num_batched_tokens", type=_positive, help="tokens of one step")
    graph.add_argument("--max_tokens_limit", type=_positive, help="longest answer in tokens (ours)")
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
    graph.add_argument("--pipeline_type", choices=PIPELINE_TYPES, help="default AUTO")
    graph.add_argument("--kv_cache_precision", choices=("u8",))
    graph.add_argument("--ov_cache_dir", help="compile cache, as the server's container sees it")
    graph.add_argument("--max_prompt_len", type=_positive, help="longest prompt in tokens, for an NPU")
    graph.add_argument(
        "--prompt_lookup_decoding", action="store_true", help="guess answers from the prompt's own text"
    )
    graph.add_argument("--reasoning_parser", choices=("qwen3", "gptoss"))
    graph.add_argument(
        "--tool_parser", choices=("llama3", "phi4", "hermes3", "mistral", "qwen3coder", "gptoss")
    )
    graph.add_argument(
        "--enable_tool_guided_generation", action="store_true", help="hold answers to the tools' schemas"
    )


def _add_run(run: argparse._ArgumentGroup) -> None:
    run.add_argument(
        "--dry-run", "--dry_run", dest="dry_run", action="store_true", help="print the plan only"
    )
    run.add_argument(
        "--skip_memory_check", action="store_true", help="convert even if memory looks too small"
    )


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"
