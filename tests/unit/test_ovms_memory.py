from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.ovms.memory import GIB, HostMemory, MemoryPlan, ModelMemory, check_limit, plan_memory

# Qwen2.5-VL-7B-Instruct has 8 292 166 656 parameters (its model.safetensors.index.json: 16 584 333 312 bytes,
# two each): a byte each at INT8, 1 % more for scales and tokenizer, 7.8 GiB in all. Its config.json:
# 28 layers, 4 KV heads of 128.
QWEN_7B = ModelMemory(8_292_166_656 * 101 // 100, 2 * 28 * 4 * 128 * 2, 28)
TINY = ModelMemory(250_000, 2 * 2 * 2 * 16 * 2, 2)  # the lab's
VERSION = "2025.4.1"


def bytes_of(gib: float) -> int:
    return int(gib * GIB)


def plan(
    model: ModelMemory,
    host_gib: float,
    cache: int | None = None,
    gpu_gib: float | None = None,
    **options: Any,
) -> MemoryPlan:
    host = HostMemory(bytes_of(host_gib), None if gpu_gib is None else bytes_of(gpu_gib))
    return plan_memory(model, host, cache, **{"ovms_version": VERSION, **options})


def refusal(*arguments: Any, **options: Any) -> EdgeError:
    with pytest.raises(EdgeError) as caught:
        plan(*arguments, **options)
    return caught.value


@pytest.mark.parametrize(
    ("model", "host_gib", "cache_size", "concurrency", "tier", "limit_gib"),
    [
        (QWEN_7B, 13.5, 1, 2, "B", 12),
        (QWEN_7B, 15.3, 2, 5, "B", 13),  # MemTotal of 16 GiB
        (QWEN_7B, 16, 2, 5, "B", 14),
        (QWEN_7B, 31.0, 4, 11, "B", 29),  # of 32 GiB
        (QWEN_7B, 32, 4, 11, "A", 30),
        (QWEN_7B, 62.5, 8, 16, "A", 61),  # of 64 GiB
        (QWEN_7B, 64, 8, 16, "A", 62),
        (QWEN_7B, 94.0, 8, 16, "A", 92),  # of 96 GiB
        (QWEN_7B, 96, 8, 16, "A", 94),
        (TINY, 15.3, 2, 16, "A", 13),
        (TINY, 31.0, 4, 16, "A", 29),
        (TINY, 62.5, 8, 16, "A", 61),
        (TINY, 94.0, 8, 16, "A", 92),
    ],
)
def test_plan_of_a_host_whose_gpu_shares_its_memory(
    model: ModelMemory, host_gib: float, cache_size: int, concurrency: int, tier: str, limit_gib: int
) -> None:
    found = plan(model, host_gib)
    assert (found.cache_size_gib, found.concurrency, found.tier, found.limit_bytes) == (
        cache_size,
        concurrency,
        tier,
        limit_gib * GIB,
    )
    assert found.cache_computed


@pytest.mark.parametrize(
    ("host_gib", "gpu_gib", "cache_size", "concurrency", "tier"),
    [
        (15.3, 12, 1, 2, "B"),
        (31.0, 16, 2, 5, "B"),
        (31.0, 24, 3, 8, "B"),
        (62.5, 32, 4, 11, "A"),
        (94.0, 48, 6, 16, "A"),
    ],
)
def test_plan_of_a_discrete_gpu(
    host_gib: float, gpu_gib: float, cache_size: int, concurrency: int, tier: str
) -> None:
    found = plan(QWEN_7B, host_gib, gpu_gib=gpu_gib)
    assert (found.cache_size_gib, found.concurrency, found.tier) == (cache_size, concurrency, tier)
    assert found.need_bytes < bytes_of(11)  # of the host: the KV cache is not in it


def test_a_cpu_does_without_the_gpus_memory() -> None:
    assert plan(QWEN_7B, 31.0, gpu_gib=4, device="CPU") == plan(QWEN_7B, 31.0, device="CPU")
    assert plan(QWEN_7B, 96, 82, device="CPU").cache_size_gib == 82


@pytest.mark.parametrize(("asked", "cache_size"), [(None, 3), ("A", 3), ("B", 4)])
def test_tier_a_takes_a_smaller_cache_where_two_models_need_it(asked: str | None, cache_size: int) -> None:
    cache = 3 if asked is None else None
    found = plan(QWEN_7B, 31.0, cache, tier=asked)
    assert (found.cache_size_gib, found.tier) == (cache_size, asked or "A")


def test_the_sum_is_printed_line_by_line() -> None:
    lines = {line.label: (round(line.bytes / GIB, 1), line.note) for line in plan(QWEN_7B, 31.0).lines}
    assert {label: size for label, (size, _) in lines.items()} == {
        "weights": 8.6,
        "KV cache": 4.0,
        "runtime": 2.0,
        "needed": 14.6,
        "two models": 29.2,
        "limit": 29.0,
        "operating system": 2.0,
        "host": 31.0,
        "GPU share": 28.7,
    }
    assert lines["weights"][1].startswith("7.8 GiB of .bin files x 1.1")
    assert "computed" in lines["KV cache"][1]
    assert "as asked" in {line.label: line.note for line in plan(QWEN_7B, 31.0, 4).lines}["KV cache"]


@pytest.mark.parametrize(
    ("model", "arguments", "options", "reason", "remedy"),
    [
        (
            QWEN_7B,
            (31.0, 32),
            {},
            r"memory too small: weights 8\.6 \+ KV cache 32\.0 \+ runtime 2\.0 = 42\.6 GiB needed, "
            r"29\.0 GiB usable of 31\.0 GiB",
            r"set cache_size to at most 18, or leave it unset",
        ),
        (QWEN_7B, (15.3, 10), {}, "= 20.6 GiB needed", "at most 2, "),
        (
            QWEN_7B,
            (12,),
            {},
            "10.0 GiB usable of 12.0 GiB",
            r"host with at least 13\.5 GiB of memory, or a model of at most 6\.3 GiB of weights",
        ),
        (QWEN_7B, (2.0,), {}, "0.0 GiB usable", "host with at least 13.5 GiB of memory$"),
        (QWEN_7B, (0,), {}, "0.0 GiB usable of 0.0 GiB", "host with at least 13.5"),
        (
            QWEN_7B,
            (15.3,),
            {"tier": "A"},
            r"2 x \(weights 8\.6 \+ KV cache 1\.0 \+ runtime 2\.0\) = 23\.2 GiB needed",
            r"leave tier unset: one model at a time fits, or use a host with at least 25\.5 GiB",
        ),
        (QWEN_7B, (31.0, 4), {"tier": "A"}, "29.2 GiB needed, 29.0 GiB usable", "at most 3, "),
        (
            QWEN_7B,
            (96, 82),
            {},
            r"GPU's share of memory too small.*89\.8 GiB usable.*Requested KV-cache size is larger",
            "at most 81",
        ),
        (
            QWEN_7B,
            (31.0, None, 8),
            {},
            r"GPU memory too small: weights 8\.6 \+ KV cache 1\.0 \+ runtime 1\.0 = 10\.6 GiB needed, 7\.6",
            r"use a GPU with at least 11\.2 GiB of memory, or a model of at most 5\.0 GiB",
        ),
        (
            QWEN_7B,
            (8.0, None, 16),
            {},
            r"^memory too small: weights 8\.6 \+ runtime 2\.0 = 10\.6 GiB needed, 6\.0 GiB usable",
            r"use a host with at least 12\.5 GiB",
        ),
        (
            QWEN_7B,
            (14.0, None, 48),
            {"tier": "A"},
            r"weights 8\.6 \+ runtime 2 x 2\.0 = 12\.6 GiB needed",
            r"leave tier unset: one model at a time fits, or use a host with at least 14\.5 GiB",
        ),
        (
            TINY,
            (31.0, 16),
            {},
            "less than 4.0 GiB for each of the 4 buffers of 2 layers, 15 GiB in all.*refuses to load",
            "at most 15",
        ),
        (QWEN_7B, (31.0, 0), {}, "cache_size is 0.*grow without bound", "1 or more"),
        (QWEN_7B, (31.0, 0), {"ovms_version": "2024.5"}, "2024.5 does not load a graph with 0", "1 or more"),
        (QWEN_7B, (31.0, -1), {}, "cache_size is -1$", "1 or more"),
    ],
)
def test_what_cannot_be_is_refused_with_the_sum_and_a_number(
    model: ModelMemory, arguments: tuple[float, ...], options: dict[str, Any], reason: str, remedy: str
) -> None:
    found = refusal(model, *arguments, **options)
    assert re.search(reason, found.reason), found.reason
    assert re.search(remedy, found.remedy), found.remedy


@pytest.mark.parametrize(
    "options", [{"tier": "C"}, {"tokens_per_request": 0}, {"kv_precision": "f8"}, {"ovms_version": "2023.1"}]
)
def test_arguments_that_are_none_are_refused(options: dict[str, Any]) -> None:
    found = refusal(QWEN_7B, 31.0, **options)
    assert isinstance(found, UsageError) or "field matrix" in found.reason


@pytest.mark.parametrize(
    ("ovms_version", "device", "gpu_gib", "precision", "pool_tokens", "concurrency"),
    [
        ("2024.5", "GPU", None, "f16", 74898, 7),
        ("2025.0", "CPU", None, "f16", 74898, 7),
        ("2025.1", "CPU", None, "u8", 119837, 11),
        ("2025.1", "GPU", None, "u8", 119837, 11),
        ("2025.3", "GPU", 32, "f16", 74898, 7),
        ("2025.4.1", "GPU", 32, "u8", 119837, 11),
    ],
)
def test_concurrency_follows_the_kv_precision_that_this_ovms_chooses(
    ovms_version: str, device: str, gpu_gib: float | None, precision: str, pool_tokens: int, concurrency: int
) -> None:
    found = plan(QWEN_7B, 31.0, 4, gpu_gib, ovms_version=ovms_version, device=device)
    assert (found.kv_precision, found.pool_tokens, found.concurrency) == (precision, pool_tokens, concurrency)


@pytest.mark.parametrize(
    ("options", "concurrency"),
    [
        ({"kv_precision": "f16"}, 7),
        ({"kv_precision": "u4"}, 16),
        ({"tokens_per_request": 100_000}, 1),
        ({"tokens_per_request": 119_838}, 1),  # one token more than there is room for
        ({"tokens_per_request": 59_918}, 2),
    ],
)
def test_concurrency_is_what_the_kv_cache_holds_at_once(options: dict[str, Any], concurrency: int) -> None:
    assert plan(QWEN_7B, 31.0, **options).concurrency == concurrency


def test_a_model_that_does_not_say_what_a_token_takes_serves_one_request_at_a_time() -> None:
    found = plan(ModelMemory(QWEN_7B.weights_bytes), 31.0)
    assert (found.concurrency, found.pool_tokens, found.cache_size_gib) == (1, 0, 4)


@pytest.mark.parametrize(
    ("ovms_version", "device", "gpu_gib", "text"),
    [
        ("2025.3", "GPU", None, "does not check cache_size at load"),
        ("2025.4", "GPU", None, "compares cache_size with 20.1 GiB at load"),
        ("2026.3", "GPU", 16, "compares cache_size with 6.6 GiB at load"),
        ("2025.4.1", "CPU", None, "compares cache_size with 31.0 GiB at load"),
    ],
)
def test_plan_says_what_this_ovms_checks(
    ovms_version: str, device: str, gpu_gib: float | None, text: str
) -> None:
    found = plan(QWEN_7B, 31.0, None, gpu_gib, ovms_version=ovms_version, device=device)
    assert found.ovms.startswith(text)
    assert "at the first request" in found.ovms


@pytest.mark.parametrize(
    ("ovms_version", "text"),
    [
        ("2025.3", "2025.3 loads it, and exits at the first request"),
        ("2025.4.1", "Requested KV-cache size is larger than available memory size on the system."),
        ("2026.2", "Requested cache size is larger than available memory size on the system."),
    ],
)
def test_refusal_says_what_this_ovms_would_do(ovms_version: str, text: str) -> None:
    assert text in refusal(QWEN_7B, 96, 82, ovms_version=ovms_version).reason


@pytest.mark.parametrize("limit", [14, 33])
def test_limit_has_to_hold_the_model_and_to_fit_the_host(limit: int) -> None:
    found = plan(QWEN_7B, 32)
    with pytest.raises(EdgeError, match=rf"memory_limit_gib is {limit}: serving needs 14\.6 GiB"):
        check_limit(limit, 32 * GIB, found)
    assert check_limit(15, 32 * GIB, found) == 15 * GIB


def models(largest_gib: int) -> st.SearchStrategy[ModelMemory]:
    kv_bytes, layers = st.sampled_from([0, 1024, 57344, 400_000]), st.integers(0, 64)
    return st.builds(ModelMemory, st.integers(0, largest_gib * GIB), kv_bytes, layers)


def hosts(smallest_gib: int) -> st.SearchStrategy[HostMemory]:
    gpu = st.none() | st.integers(smallest_gib * GIB, 64 * GIB)
    return st.builds(HostMemory, st.integers(smallest_gib * GIB, 192 * GIB), gpu)


caches = st.none() | st.integers(1, 24)
tiers = st.none() | st.sampled_from(["A", "B"])


@given(model=models(14), host=hosts(16), cache=caches, tier=tiers)
def test_a_plan_fits_its_own_sum(model: ModelMemory, host: HostMemory, cache: int | None, tier: Any) -> None:
    found = planned(model, host, cache, tier)
    assume(found is not None)
    assert found is not None
    size = {line.label: line.bytes for line in found.lines}
    need = "two models" if found.tier == "A" else "needed"
    assert size[need] <= size["limit"] == found.limit_bytes < host.total_bytes
    assert size["limit"] + size["operating system"] == size["host"] == host.total_bytes
    assert found.limit_bytes % GIB == 0
    parts = sum(size.get(label, 0) for label in ("weights", "KV cache", "runtime"))
    assert parts == size["needed"] == found.need_bytes
    if host.gpu_bytes is None:
        assert size["weights"] + size["KV cache"] <= size["GPU share"]
    else:
        assert size[f"GPU {need}"] <= size["GPU usable"] <= host.gpu_bytes
    assert cache is None or found.cache_size_gib == cache
    assert tier is None or found.tier == tier


@given(
    model=models(14),
    host=hosts(16),
    cache=caches,
    tier=tiers,
    more=st.integers(0, 64 * GIB),
    more_gpu=st.integers(0, 32 * GIB),
)
def test_more_memory_never_gives_a_worse_plan(
    model: ModelMemory, host: HostMemory, cache: int | None, tier: Any, more: int, more_gpu: int
) -> None:
    larger = HostMemory(
        host.total_bytes + more, None if host.gpu_bytes is None else host.gpu_bytes + more_gpu
    )
    small, large = planned(model, host, cache, tier), planned(model, larger, cache, tier)
    assume(small is not None)
    assert small is not None
    assert large is not None
    assert small.cache_size_gib <= large.cache_size_gib
    assert small.concurrency <= large.concurrency
    assert small.limit_bytes <= large.limit_bytes
    if small.cache_size_gib == large.cache_size_gib:
        assert (small.tier, large.tier) != ("A", "B")


@given(model=models(48), host=hosts(0), cache=caches | st.integers(8, 96), tier=tiers)
def test_the_numbers_of_a_remedy_are_right(
    model: ModelMemory, host: HostMemory, cache: int | None, tier: Any
) -> None:
    try:
        plan_memory(model, host, cache, ovms_version=VERSION, tier=tier)
    except EdgeError as error:
        remedy = error.remedy
    else:
        return
    if largest := re.search(r"cache_size to at most (\d+)", remedy):
        assert planned(model, host, int(largest[1]), tier)
        assert not planned(model, host, int(largest[1]) + 1, tier)
        return
    sizes = {
        kind: bytes_of(float(size))
        for kind, size in re.findall(r"a (host|GPU) with at least ([\d.]+)", remedy)
    }
    mended = HostMemory(sizes.get("host", host.total_bytes), sizes.get("GPU", host.gpu_bytes))
    assert sizes
    assert planned(model, mended, 1, tier)
    assert ("leave tier unset" in remedy) == (tier == "A" and planned(model, host, cache, None) is not None)
    if weights := re.search(r"at most ([\d.]+) GiB of weights", remedy):
        assert planned(ModelMemory(bytes_of(float(weights[1]))), host, 1, tier)


def planned(model: ModelMemory, host: HostMemory, cache: int | None, tier: Any) -> MemoryPlan | None:
    try:
        return plan_memory(model, host, cache, ovms_version=VERSION, tier=tier)
    except EdgeError:
        return None
