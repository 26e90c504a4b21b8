"""Whether this machine is large enough: figures from the source, limits from /proc and cgroups."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.export.available import available_memory
from ovms_edge.export.preflight import (
    GB,
    DiskNeed,
    check_disk,
    check_memory,
    conversion_space,
    peak_memory,
)
from ovms_edge.export.weights import Weights, hub_weights, local_weights

QWEN2_5_VL_7B = Weights(parameters=8_292_166_656, source_bytes=16_584_333_312)
GIB = 1024**3


def write_shard(path: Path, shape: list[int], *, cut: int = 0) -> None:
    size = 2 * shape[0] * shape[1]
    tensors = {
        "__metadata__": {"format": "pt"},
        "w": {"dtype": "BF16", "shape": shape, "data_offsets": [0, size]},
    }
    header = json.dumps(tensors).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size - cut))


def test_7b_model_takes_what_order_accuracy_saw_and_somewhat_more() -> None:
    assert 43 * GB <= peak_memory(QWEN2_5_VL_7B) <= 46 * GB


@pytest.mark.parametrize(
    ("parameters", "highest_measured"),
    [(309_071_456, 3.92), (923_181_664, 8.16), (2_489_662_048, 12.07)],
)
def test_estimate_is_within_a_percent_of_every_peak_measured_or_above(
    parameters: int, highest_measured: float
) -> None:
    assert peak_memory(Weights(parameters, 2 * parameters)) >= 0.99 * highest_measured * GB


def test_conversion_has_room_for_the_uncompressed_model_beside_the_result() -> None:
    assert conversion_space(QWEN2_5_VL_7B, 8) >= 8.3 * GB + 16.5 * GB
    assert conversion_space(QWEN2_5_VL_7B, 16) < conversion_space(QWEN2_5_VL_7B, 8)


def test_too_little_memory_says_how_much_swap_would_do() -> None:
    check_memory(45 * GB, 45 * GB, "m")
    with pytest.raises(EdgeError, match=r"converting m takes about 45 GB .* 32\.5 GB .*; add 12 GB of swap"):
        check_memory(45 * GB, 32_500_000_000, "m")


def test_needs_on_one_file_system_add_up(tmp_path: Path) -> None:
    check_disk([DiskNeed(tmp_path / "not" / "yet", 1, "model"), DiskNeed(tmp_path, 1, "download")])
    with pytest.raises(EdgeError, match=r"300\.0 GB needed \(model 100\.0 GB \+ download 200\.0 GB\)"):
        check_disk(
            [DiskNeed(tmp_path / "a", 100 * GB, "model"), DiskNeed(tmp_path / "b", 200 * GB, "download")]
        )


def test_parameters_are_counted_in_the_shards_that_the_index_names(tmp_path: Path) -> None:
    write_shard(tmp_path / "model-1.safetensors", [3, 4])
    write_shard(tmp_path / "model-2.safetensors", [5, 6])
    write_shard(tmp_path / "consolidated.safetensors", [7, 8])
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert local_weights(tmp_path).parameters == 12 + 30
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(EdgeError, match=r"model-2\.safetensors is missing, model.* names it"):
        local_weights(tmp_path)


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 40, (9).to_bytes(8, "little") + b"not json!"])
def test_source_without_a_header_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(EdgeError, match=r"model\.safetensors is damaged"):
        local_weights(tmp_path)


def test_source_that_was_cut_off_is_named_with_both_sizes(tmp_path: Path) -> None:
    write_shard(tmp_path / "model.safetensors", [3, 4], cut=1)
    with pytest.raises(EdgeError, match=r"is cut off: \d+ bytes expected, \d+ found"):
        local_weights(tmp_path)


def test_hub_is_asked_for_the_count_and_the_sizes_do_where_it_has_none() -> None:
    files = {"model-1.safetensors": 100, "model-2.safetensors": 60, "pytorch_model.bin": 999}
    assert hub_weights(files, {"BF16": 70, "F32": 5}) == Weights(75, 160)
    assert hub_weights(files, {}) == Weights(80, 160)
    assert hub_weights({"pytorch_model.bin": 200}, {}) == Weights(100, 200)
    assert hub_weights({"openvino_model.bin": 200}, {}) == Weights(0, 0)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    meminfo = f"MemTotal: {32 * 1024**2} kB\nMemAvailable: {20 * 1024**2} kB\nSwapFree: {4 * 1024**2} kB\n"
    (tmp_path / "proc/meminfo").write_text(f"{meminfo}HugePages_Total: 0\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/user/session\n")
    (tmp_path / "sys/fs/cgroup/user/session").mkdir(parents=True)
    return tmp_path


def limit(group: Path, *, maximum: str, current: int, inactive: int, swap: str) -> None:
    (group / "memory.max").write_text(maximum)
    (group / "memory.current").write_text(str(current))
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\n")
    (group / "memory.swap.max").write_text(swap)
    (group / "memory.swap.current").write_text("0")


def test_memory_is_what_is_available_and_free_swap(machine: Path) -> None:
    assert available_memory(machine) == 24 * GIB


def test_memory_is_less_where_a_cgroup_above_limits_us(machine: Path) -> None:
    groups = machine / "sys/fs/cgroup"
    limit(groups / "user/session", maximum="max", current=1, inactive=0, swap="max")
    limit(groups / "user", maximum=str(8 * GIB), current=3 * GIB, inactive=1 * GIB, swap=str(2 * GIB))
    assert available_memory(machine) == 8 * GIB


@pytest.mark.parametrize("own", ["/docker/builder", "/docker/seen-from-outside"])
def test_memory_is_less_where_cgroup_version_1_limits_us(machine: Path, own: str) -> None:
    (machine / "proc/self/cgroup").write_text(f"4:cpu,cpuacct:/\n3:memory:{own}\n0::/\n")
    top = machine / "sys/fs/cgroup/memory"
    inside = top / "docker/builder"
    inside.mkdir(parents=True)
    for group in (top, inside):
        (group / "memory.usage_in_bytes").write_text(str(3 * GIB))
        (group / "memory.stat").write_text(
            f"hierarchical_memory_limit {8 * GIB}\ntotal_inactive_file {1 * GIB}\n"
        )
    assert available_memory(machine) == 6 * GIB


def test_limit_that_is_larger_than_the_machine_changes_nothing(machine: Path) -> None:
    limit(machine / "sys/fs/cgroup/user", maximum=str(64 * GIB), current=0, inactive=0, swap="0")
    assert available_memory(machine) == 24 * GIB
