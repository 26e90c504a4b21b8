from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovms_edge.errors import EdgeError
from ovms_edge.ovms.memory import GIB, check_limit, plan_memory

WEIGHTS_7B = 8 * GIB
WEIGHTS_TINY = 250_000


@pytest.mark.parametrize(
    ("host_gib", "weights", "cache_size"),
    [
        (13.5, WEIGHTS_7B, 1),
        (15.3, WEIGHTS_7B, 2),  # what a kernel leaves of 16 GiB
        (16, WEIGHTS_7B, 2),
        (31.0, WEIGHTS_7B, 4),
        (32, WEIGHTS_7B, 4),
        (62.5, WEIGHTS_7B, 8),
        (64, WEIGHTS_7B, 8),
        (128, WEIGHTS_7B, 8),
        (16, WEIGHTS_TINY, 2),
        (32, WEIGHTS_TINY, 4),
        (64, WEIGHTS_TINY, 8),
    ],
)
def test_cache_size_is_computed_from_the_host(host_gib: float, weights: int, cache_size: int) -> None:
    assert plan_memory(int(host_gib * GIB), weights, None).cache_size_gib == cache_size


@pytest.mark.parametrize("host_gib", [16, 32])
def test_cache_size_that_crashed_hosts_is_refused_with_the_sum(host_gib: int) -> None:
    with pytest.raises(EdgeError, match=r"weights 8\.8 \+ KV cache 32 \+ runtime 2\.0 = 42\.8 GiB needed"):
        plan_memory(host_gib * GIB, WEIGHTS_7B, 32)


def test_remedy_names_the_largest_cache_size_that_fits() -> None:
    with pytest.raises(EdgeError) as caught:
        plan_memory(32 * GIB, WEIGHTS_7B, 32)
    assert "at most 19" in caught.value.remedy
    assert plan_memory(32 * GIB, WEIGHTS_7B, 19).cache_size_gib == 19
    with pytest.raises(EdgeError):
        plan_memory(32 * GIB, WEIGHTS_7B, 20)


def test_a_model_that_this_host_can_never_serve_is_refused() -> None:
    with pytest.raises(EdgeError, match="memory too small"):
        plan_memory(12 * GIB, WEIGHTS_7B, None)


def test_a_cache_that_grows_without_bound_is_refused() -> None:
    with pytest.raises(EdgeError, match="cache_size is 0"):
        plan_memory(32 * GIB, WEIGHTS_7B, 0)


@pytest.mark.parametrize("limit", [14, 33])
def test_limit_has_to_hold_the_model_and_to_fit_the_host(limit: int) -> None:
    plan = plan_memory(32 * GIB, WEIGHTS_7B, None)
    with pytest.raises(EdgeError, match=f"memory_limit_gib is {limit}"):
        check_limit(limit, 32 * GIB, plan)
    assert check_limit(15, 32 * GIB, plan) == 15 * GIB


@given(
    host=st.integers(0, 256 * GIB),
    weights=st.integers(0, 64 * GIB),
    cache=st.none() | st.integers(1, 64),
)
def test_what_is_planned_always_fits(host: int, weights: int, cache: int | None) -> None:
    try:
        plan = plan_memory(host, weights, cache)
    except EdgeError:
        return
    assert plan.need_bytes <= plan.limit_bytes < host
    assert plan.limit_bytes % GIB == 0
    assert cache is None or plan.cache_size_gib == cache


@given(host=st.integers(14 * GIB, 256 * GIB), more=st.integers(0, 64 * GIB))
def test_more_memory_never_gives_less_cache(host: int, more: int) -> None:
    small, large = plan_memory(host, WEIGHTS_7B, None), plan_memory(host + more, WEIGHTS_7B, None)
    assert small.cache_size_gib <= large.cache_size_gib
