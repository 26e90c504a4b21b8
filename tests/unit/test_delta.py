"""Any version comes out exactly of another and what a plan fetches; the plan says what that costs."""

from __future__ import annotations

import hashlib
import lzma
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ovms_edge.chunks import ChunkIndex
from ovms_edge.delta import Base, Copy, Fetch, FilePlan, Have, Local, Place, Restore, plan_file
from ovms_edge.manifest import Packed, ReleaseFile, Residual
from ovms_edge.release.cut import tensor_cuts
from ovms_edge.release.residual import base_offsets, make_residual, matching_parts
from ovms_edge.residual import read_table, restore
from tests.unit.test_release_cut import TENSORS, Tensor, content, model

OLD, NEW = Path("old"), Path("new")


def file_of(data: bytes, index: ChunkIndex | None = None, packed: bytes = b"") -> ReleaseFile:
    digest = hashlib.sha256(data).hexdigest()
    small = Packed(hashlib.sha256(packed).hexdigest(), len(packed)) if packed else None
    return ReleaseFile("f.bin", len(data), digest, index.sha256 if index else None, small)


def indexed(data: bytes, cuts: tuple[int, ...]) -> ChunkIndex:
    return ChunkIndex.of_blocks(data[start:end] for start, end in pairwise(cuts))


def carried_out(plan: FilePlan, new: bytes, files: dict[Path, bytes], residual: bytes) -> tuple[bytes, int]:
    """Do what the plan says, with the published bytes; return the file and what was fetched for it."""
    made, fetched = bytearray(len(new)), 0

    def read(place: Place, size: int) -> bytes:
        return files[place.path][place.offset : place.offset + size]

    for step in plan.steps:
        chunk = step.chunk
        published = new[chunk.offset : chunk.offset + chunk.size]
        if isinstance(step, Have):
            data = published  # was there before
        elif isinstance(step, Copy):
            data = read(step.source, chunk.size)
        elif isinstance(step, Restore):
            payload = residual[step.payload_offset : step.payload_offset + step.wire_bytes]
            fetched += len(payload)
            data = restore(payload, read(step.base, chunk.size))
        else:
            assert isinstance(step, Fetch)
            fetched += chunk.size
            data = published
        assert hashlib.sha256(data).digest() == chunk.digest
        for offset in step.offsets:
            made[offset : offset + chunk.size] = data
    return bytes(made), fetched


@settings(max_examples=60)
@given(
    before=TENSORS,
    after=TENSORS,
    kept=st.sets(st.integers(0, 8)),
    padding=st.integers(0, 64),
    step=st.sampled_from([0, 1, 7, 1000]),
    have=st.integers(0, 3),
)
def test_any_version_reassembles_exactly_and_at_the_planned_price(
    tmp_path_factory: object,
    before: list[Tensor],
    after: list[Tensor],
    kept: set[int],
    padding: int,
    step: int,
    have: int,
) -> None:
    directory: Path = tmp_path_factory.mktemp("delta")  # type: ignore[attr-defined]
    old, old_constants = model(before)
    tensors = [tensor for number, tensor in enumerate(before) if number in kept] + after
    new = bytearray(b"".join(content(tensor) for tensor in tensors) + bytes(padding))
    if step:
        new[::step] = bytes((value + 1) % 256 for value in new[::step])
    constants = model(tensors)[1]
    index = indexed(bytes(new), tensor_cuts(constants, len(new)))
    old_index = indexed(old, tensor_cuts(old_constants, len(old)))
    (directory / "new").write_bytes(new)
    (directory / "old").write_bytes(old)
    offsets = base_offsets(index.chunks, matching_parts(constants, old_constants), len(old))
    target = directory / "residual"
    table = make_residual(directory / "new", index, directory / "old", old_index, offsets, target)
    local, bases, blob = Local(), [], b""
    local.add(file_of(old, old_index), old_index, OLD)
    if table is not None:
        blob = target.read_bytes()
        residual = Residual("f.bin", file_of(old).sha256, "0" * 64, len(blob), len(table), "0" * 64)
        bases.append(Base(residual, read_table(blob[: len(table)]), OLD))
    there = frozenset(chunk.offset for chunk in index.chunks[::2]) if have == 1 else frozenset()

    plan = plan_file(file_of(bytes(new), index), index, there, local, bases)

    made, fetched = carried_out(plan, bytes(new), {OLD: old}, blob)
    assert made == new
    assert fetched == plan.fetch_bytes
    assert sum(plan.sums.values()) == len(new)


def test_the_cheapest_way_is_taken() -> None:
    text = b"<layer/>" * 4000
    xz = lzma.compress(text)
    index = indexed(text[::-1], (0, 16_000, 32_000))
    changed = file_of(text[::-1], index, xz)
    assert plan_file(changed, index, frozenset(), Local()).packed
    local = Local()
    local.add(changed, index, OLD, whole=False)
    assert plan_file(changed, index, frozenset(), local).how == "copy"


def test_equal_chunks_are_fetched_once() -> None:
    data = b"same" * 1000 * 3
    index = indexed(data, (0, 4000, 8000, 12_000))
    plan = plan_file(file_of(data, index), index, frozenset(), Local())
    assert plan.fetch_bytes == 4000
    assert plan.sums == {"linked": 0, "copied": 8000, "restored": 0, "packed": 0, "fetched": 4000}
    assert carried_out(plan, data, {}, b"") == (data, 4000)


def test_an_empty_file_needs_nothing() -> None:
    plan = plan_file(file_of(b""), None, frozenset(), Local())
    assert (plan.fetch_bytes, plan.steps, plan.how) == (0, (), "copy")
