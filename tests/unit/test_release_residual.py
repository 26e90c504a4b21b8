"""A residual and the old file give exactly the chunks that it names."""

import hashlib
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ovms_edge.chunks import ChunkIndex
from ovms_edge.ovms.ir import Constant
from ovms_edge.release.cut import tensor_cuts
from ovms_edge.release.residual import Part, base_offsets, make_residual, matching_parts
from ovms_edge.residual import read_table, restore
from tests.unit.test_release_cut import TENSORS, Tensor, content, model


def test_tensors_are_matched_by_name_wherever_they_lie() -> None:
    new = [Constant("b", 0, 10), Constant("a", 10, 5)]
    old = [Constant("a", 100, 5), Constant("c", 105, 7), Constant("b", 112, 10)]

    assert matching_parts(new, old) == [Part(0, 10, 112), Part(10, 5, 90)]


def test_tensors_that_were_numbered_anew_are_matched_by_place() -> None:
    new = [Constant("a", 0, 10), Constant("Constant_7", 10, 5)]
    old = [Constant("a", 0, 10), Constant("Constant_3", 10, 5)]

    assert matching_parts(new, old) == [Part(0, 10, 0), Part(10, 5, 0)]


def test_a_tensor_of_another_size_has_no_counterpart() -> None:
    assert matching_parts([Constant("a", 0, 10)], [Constant("a", 0, 11)]) == []


def test_a_chunk_whose_tensors_moved_apart_has_no_counterpart() -> None:
    chunks = ChunkIndex.of_blocks([bytes(10), bytes(10)]).chunks
    parts = [Part(0, 5, 0), Part(5, 5, 1), Part(10, 5, 3), Part(15, 5, 3)]

    assert base_offsets(chunks, parts, 23) == {1: 13}
    assert base_offsets(chunks, parts, 22) == {}


def tuned(tensors: list[Tensor], step: int) -> bytes:
    """The same model with every ``step``-th byte one higher, as a fine-tune leaves it."""
    data = bytearray(b"".join(content(tensor) for tensor in tensors))
    data[::step] = bytes((value + 1) % 256 for value in data[::step])
    return bytes(data)


def indexed(data: bytes, constants: list[Constant]) -> ChunkIndex:
    return ChunkIndex.of_blocks(data[start:end] for start, end in pairwise(tensor_cuts(constants, len(data))))


@settings(max_examples=40)
@given(TENSORS, TENSORS, st.sampled_from([1, 7, 1000]))
def test_every_chunk_of_a_residual_comes_back_exactly(
    tmp_path_factory: object, before: list[Tensor], more: list[Tensor], step: int
) -> None:
    directory: Path = tmp_path_factory.mktemp("residual")  # type: ignore[attr-defined]
    old_data, old_constants = model(before)
    new_data = tuned(before, step) + b"".join(content(tensor) for tensor in more)
    new_constants = model([*before, *more])[1]
    index, old_index = indexed(new_data, new_constants), indexed(old_data, old_constants)
    new, old, target = directory / "new", directory / "old", directory / "residual"
    new.write_bytes(new_data)
    old.write_bytes(old_data)
    offsets = base_offsets(index.chunks, matching_parts(new_constants, old_constants), len(old_data))

    made = make_residual(new, index, old, old_index, offsets, target)

    assert (made is not None) == target.exists()
    if made:
        data = target.read_bytes()
        count = int.from_bytes(data[21:25], "big")
        entries = read_table(data[: 25 + 16 * count])
        assert entries
        for entry in entries:
            chunk = index.chunks[entry.chunk]
            base = old_data[entry.base_offset : entry.base_offset + chunk.size]
            restored = restore(data[entry.offset : entry.offset + entry.length], base)
            assert hashlib.sha256(restored).digest() == chunk.digest


def test_a_fine_tune_costs_a_fraction_of_the_model(tmp_path: Path) -> None:
    tensors = [(2_000_000, 1), (4_000, 2), (1_000_000, 3)]
    old_data, constants = model(tensors)
    new_data = tuned(tensors, 20)
    index, old_index = indexed(new_data, constants), indexed(old_data, constants)
    (tmp_path / "new").write_bytes(new_data)
    (tmp_path / "old").write_bytes(old_data)
    offsets = base_offsets(index.chunks, matching_parts(constants, constants), len(old_data))

    assert not {chunk.digest for chunk in index.chunks} & {chunk.digest for chunk in old_index.chunks}
    assert make_residual(tmp_path / "new", index, tmp_path / "old", old_index, offsets, tmp_path / "residual")
    assert (tmp_path / "residual").stat().st_size < 0.02 * len(new_data)


def test_what_the_old_file_has_makes_no_residual(tmp_path: Path) -> None:
    data, constants = model([(300_000, 1)])
    index = indexed(data, constants)
    (tmp_path / "f").write_bytes(data)

    assert not make_residual(tmp_path / "f", index, tmp_path / "f", index, {0: 0}, tmp_path / "residual")
    assert not (tmp_path / "residual").exists()
