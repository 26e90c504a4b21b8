"""``ovms-edge plan-memory``: what fits on a host, and the sum that says why."""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.ovms.fields import DEFAULT_OVMS_VERSION
from ovms_edge.ovms.kv_cache import DEFAULT_TOKENS_PER_REQUEST, KV_PRECISIONS
from ovms_edge.ovms.memory import GIB, HostMemory, MemoryPlan, ModelMemory, model_memory, plan_memory
from ovms_edge.ovms.memory_text import gib

LARGEST_GIB = 65536

DESCRIPTION = """Share out the memory of a host: KV cache (cache_size), concurrency (max_num_seqs), and
whether two models fit at once (tier A) or one (tier B). Refuses, with the sum, what cannot fit."""
EPILOG = f"""--host-gib is MemTotal of /proc/meminfo, which is what firmware, kernel and graphics leave of the
modules: about 15.3 of 16 GiB, 31.0 of 32, 62.5 of 64, 94 of 96. Give what the host says:
  awk '/MemTotal/ {{ printf "%.1f\\n", $2 / 1048576 }}' /proc/meminfo

A request takes {DEFAULT_TOKENS_PER_REQUEST} tokens unless told otherwise: three images of 1920 x 1080
(a token for each 28 x 28 pixels) and 2048 for prompt and answer.

examples:
  ovms-edge plan-memory models/Qwen/Qwen2.5-VL-7B-Instruct-ov-int8 --host-gib 31
  ovms-edge plan-memory --weights-gib 7.8 --kv-bytes-per-token 57344 --host-gib 62.5 --tier A
"""


def add_group(groups: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    command = groups.add_parser(
        "plan-memory",
        help="cache size, concurrency and switch tier that fit a host",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("directory", metavar="DIR", type=Path, nargs="?", help="an exported model")
    command.add_argument(
        "--weights-gib", metavar="N", type=gib_argument, help="instead of DIR: size of its .bin files"
    )
    command.add_argument(
        "--kv-bytes-per-token",
        metavar="N",
        type=_count,
        help="with --weights-gib: KV cache of one token at fp16, 57344 for Qwen2.5-VL-7B",
    )
    command.add_argument(
        "--host-gib", metavar="N", type=gib_argument, required=True, help="MemTotal of the host"
    )
    command.add_argument("--discrete", action="store_true", help="the GPU has its own memory, see --gpu-gib")
    command.add_argument(
        "--gpu-gib", metavar="N", type=gib_argument, help="memory of the discrete GPU, as sold"
    )
    command.add_argument(
        "--device", type=_device, default="GPU", help="GPU, GPU.1 or CPU; default %(default)s"
    )
    command.add_argument("--cache-size", metavar="N", type=_count, help="GiB; default: computed")
    command.add_argument(
        "--tokens-per-request",
        metavar="N",
        type=_count,
        default=DEFAULT_TOKENS_PER_REQUEST,
        help="images, prompt and answer; default %(default)s",
    )
    command.add_argument(
        "--kv-precision", choices=KV_PRECISIONS, help="default: what this OVMS uses on the device"
    )
    command.add_argument("--tier", choices=("A", "B"), help="A: two models have to fit; B: one is enough")
    command.add_argument(
        "--ovms-version", metavar="V", default=DEFAULT_OVMS_VERSION, help="default %(default)s"
    )
    command.add_argument("--json", action="store_true", help="one JSON document")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    host = _host(options)
    try:
        model = _model(options)
        plan = plan_memory(
            model,
            host,
            options.cache_size,
            ovms_version=options.ovms_version,
            tokens_per_request=options.tokens_per_request,
            kv_precision=options.kv_precision,
            tier=options.tier,
            device=options.device,
        )
    except UsageError:
        raise
    except EdgeError as error:
        if not options.json:
            raise
        refusal = {"ok": False, "reason": error.reason, "remedy": error.remedy}
        sys.stdout.write(json.dumps(refusal, indent=2) + "\n")
        return 1
    sys.stdout.write(
        _to_json(plan) if options.json else to_text(plan, options.ovms_version, model.kv_bytes_per_token)
    )
    return 0


def to_text(plan: MemoryPlan, ovms_version: str, kv_bytes_per_token: int) -> str:
    """Return the sum, aligned, and the result in four lines; 0 bytes of a token are not known."""
    width = max(len(line.label) for line in plan.lines)
    rows = [f"{line.label:<{width}}  {gib(line.bytes):>10}  {line.note}" for line in plan.lines]
    return "\n".join([*rows, "", *_result(plan, ovms_version, kv_bytes_per_token)]) + "\n"


def _result(plan: MemoryPlan, ovms_version: str, kv_bytes_per_token: int) -> list[str]:
    if plan.pool_tokens:
        pool = f"{plan.pool_tokens} tokens at {plan.kv_precision}"
        requests = f"requests of {plan.tokens_per_request} tokens"
        if plan.pool_tokens < plan.tokens_per_request:
            requests += ", which the KV cache cannot hold: raise cache_size or send smaller images"
    elif kv_bytes_per_token:
        pool = f"not one token: each takes more than all of it at {plan.kv_precision}"
        requests = "which the KV cache cannot hold: raise cache_size, or correct what a token takes"
    else:
        pool = "tokens not known: the model's config.json or --kv-bytes-per-token is missing"
        requests = "until it is known what a token takes"
    tier = {"A": "two models fit", "B": "one model"}[plan.tier]
    return [
        f"cache_size   {plan.cache_size_gib} ({'computed' if plan.cache_computed else 'as asked'}; {pool})",
        f"concurrency  {plan.concurrency} (max_num_seqs; {requests})",
        f"tier         {plan.tier} ({tier})",
        f"OVMS         {ovms_version} {plan.ovms}",
    ]


def _to_json(plan: MemoryPlan) -> str:
    return json.dumps(asdict(plan), indent=2, sort_keys=True) + "\n"


def _model(options: argparse.Namespace) -> ModelMemory:
    if (options.directory is None) == (options.weights_gib is None):
        raise UsageError(
            "neither DIR nor --weights-gib" if options.directory is None else "both DIR and --weights-gib",
            "name the model's directory, or give --weights-gib",
        )
    if options.directory is None:
        return ModelMemory(options.weights_gib, options.kv_bytes_per_token or 0)
    if options.kv_bytes_per_token is not None:
        raise UsageError(
            "--kv-bytes-per-token is given for a directory", "leave it out: its config.json says it"
        )
    return model_memory(options.directory)


def _host(options: argparse.Namespace) -> HostMemory:
    if options.discrete and options.device == "CPU":
        raise UsageError("--discrete with --device CPU: the CPU uses the host's memory", "leave out one")
    if options.discrete != (options.gpu_gib is not None):
        raise UsageError(
            "--discrete and --gpu-gib belong together",
            "give both for a discrete GPU, none for one that shares the host's memory",
        )
    return HostMemory(options.host_gib, options.gpu_gib)


def gib_argument(text: str) -> int:
    """Read GiB on a command line, such as 31.0, as bytes: more than 0, and no more than a machine has."""
    try:
        size = int(float(text) * GIB)
    except (ValueError, OverflowError):
        size = 0
    if not 0 < size <= LARGEST_GIB * GIB:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of GiB, such as 31.0: more than 0, at most {LARGEST_GIB}"
        )
    return size


def _device(text: str) -> str:
    if not re.fullmatch(r"CPU|GPU(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of GPU, GPU.1 and CPU")
    return text


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)
