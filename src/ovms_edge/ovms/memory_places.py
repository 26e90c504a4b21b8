"""The memories that serving takes room in, and how much of each it may have: the host's, the GPU's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GIB = 1024**3
MIB = 1024**2

WEIGHTS_FACTOR_PERCENT = 110
RUNTIME_RESERVE_BYTES = 2 * GIB  # activations, vision encoder, plugin, compile scratch, /tmp of the container
GPU_RESERVE_BYTES = GIB  # of a discrete GPU: activations, vision encoder, kernels
OS_RESERVE_BYTES = 3 * GIB // 2  # kernel, Docker Engine, sshd, the host's own services


@dataclass(frozen=True)
class HostMemory:
    """MemTotal, and the memory of a discrete GPU; ``gpu_bytes`` None: the GPU shares ``total_bytes``."""

    total_bytes: int
    gpu_bytes: int | None = None


@dataclass(frozen=True)
class _Share:
    """What of a memory serving may have: a percentage, less some bytes, in whole steps."""

    percent: int
    less_bytes: int
    step_bytes: int

    def usable(self, total: int) -> int:
        return max(total * self.percent // 100 - self.less_bytes, 0) // self.step_bytes * self.step_bytes

    def total_for(self, usable: int) -> int:
        """Return the smallest total that leaves ``usable``."""
        stepped = -(-usable // self.step_bytes) * self.step_bytes
        return -(-(stepped + self.less_bytes) * 100 // self.percent)


# Whole GiB: MemTotal changes by some MiB with the kernel, and that should not make a new container.
_OF_HOST = _Share(100, OS_RESERVE_BYTES, GIB)
# What the GPU's driver reports as its total and OVMS compares with: on Linux (intel/compute-runtime,
# documentation/FAQ.md) 95 % of a discrete GPU's memory; of an integrated one's host 94 %, less 450 MiB.
_OF_HOST_FOR_GPU = _Share(94, 450 * MIB, 1)
_OF_GPU = _Share(95, 0, 1)


@dataclass(frozen=True)
class Place:
    """One memory. Per model it takes weights and ``runtime_bytes``, and the KV pool if ``holds_pool``.

    ``loads_only``: the weights pass through it, one model at a time.
    """

    name: str
    device: Literal["host", "GPU"]
    total_bytes: int
    share: _Share
    runtime_bytes: int
    holds_pool: bool = True
    loads_only: bool = False

    @property
    def usable_bytes(self) -> int:
        """What serving may take of it."""
        return self.share.usable(self.total_bytes)

    def need_bytes(self, weights_bytes: int, cache_gib: int, models: int = 1) -> int:
        """Return what ``models`` models with a KV pool each take of it."""
        weights = weights_bytes * WEIGHTS_FACTOR_PERCENT // 100 * (1 if self.loads_only else models)
        return weights + models * (self.runtime_bytes + self.pool_bytes(cache_gib))

    def pool_bytes(self, cache_gib: int) -> int:
        """Return what one KV pool of ``cache_gib`` takes of it."""
        return cache_gib * GIB if self.holds_pool else 0

    def fits(self, weights_bytes: int, cache_gib: int, models: int) -> bool:
        """Whether it holds ``models`` models."""
        return self.need_bytes(weights_bytes, cache_gib, models) <= self.usable_bytes

    def largest_weights(self, cache_gib: int, models: int) -> int:
        """Return the bytes of weights that it has room for beside everything else; negative if none."""
        room = self.usable_bytes - self.need_bytes(0, cache_gib, models)
        return room // (1 if self.loads_only else models) * 100 // WEIGHTS_FACTOR_PERCENT


def places(host: HostMemory, device: str) -> tuple[Place, ...]:
    """Return the memories that a model on ``device`` (CPU, GPU or GPU.n) takes room in."""
    if device == "CPU":
        return (Place("memory", "host", host.total_bytes, _OF_HOST, RUNTIME_RESERVE_BYTES),)
    if host.gpu_bytes is None:
        return (
            Place("memory", "host", host.total_bytes, _OF_HOST, RUNTIME_RESERVE_BYTES),
            Place("the GPU's share of memory", "host", host.total_bytes, _OF_HOST_FOR_GPU, 0),
        )
    return (
        Place("GPU memory", "GPU", host.gpu_bytes, _OF_GPU, GPU_RESERVE_BYTES),
        Place(
            "memory",
            "host",
            host.total_bytes,
            _OF_HOST,
            RUNTIME_RESERVE_BYTES,
            holds_pool=False,
            loads_only=True,
        ),
    )
