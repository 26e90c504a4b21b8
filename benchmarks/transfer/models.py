"""A real INT8 export of a wanted size, its successors, and a small real model with its fine-tune."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.transfer import big_model
from benchmarks.transfer.fine_tune import make_pair, run
from benchmarks.transfer.tensors import insert_constant, opened, put, quantised, read_tensors

ROOT = Path(__file__).resolve().parents[2]
SERVABLE = "bench/model"
LANGUAGE_MODEL = "openvino_language_model.xml"
INSERTED_BYTES, INSERTED_SHARE = 1_000_000, 0.38
FIVE_PERCENT_STEP, FIVE_PERCENT_PHASE = 20, 7
MOVED_SHARE = 0.1
FINE_TUNED_AIM = 0.10  # of the size


@dataclass(frozen=True)
class Case:
    """``successor`` follows ``base``; ``aim_bytes`` is what may cross the wire for it at most."""

    name: str
    base: Path
    successor: Path
    aim_bytes: float


def changed_aim(changed_bytes: int) -> float:
    """Return the bytes allowed for ``changed_bytes`` that the base does not have."""
    return changed_bytes * 1.005 + (128 << 10)


def make_cases(work: Path, size: int, steps: int) -> list[Case]:
    """Export a model of about ``size`` bytes, and write its successors below ``work``.

    One more is fine-tuned in ``steps`` steps.
    """
    work.mkdir()
    base = _export(work, size)
    cases = []
    for name, change in _SUCCESSORS.items():
        successor = work / name
        shutil.copytree(base, successor)
        cases.append(Case(name, base, successor, changed_aim(change(successor))))
    return [*cases, _fine_tuned(work, steps)]


def _export(work: Path, size: int) -> Path:
    layers = max(round((size - big_model.OTHER_BYTES) / big_model.LAYER_BYTES), 1)
    source, repository = work / "source", work / "repository"
    run("-m", "benchmarks.transfer.big_model", source, str(layers))
    run(
        *("ovms-service/export_model.py", "text_generation", "--source_model", str(source)),
        *("--model_name", SERVABLE, "--weight-format", "int8", "--target_device", "GPU"),
        *("--model_repository_path", str(repository), "--cache_size", "2", "--max_num_seqs", "1"),
    )
    shutil.rmtree(source)
    return repository / SERVABLE


def _configuration(model: Path) -> int:
    path = model / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "temperature": 0.2}))
    return path.stat().st_size


def _five_percent(model: Path) -> int:
    """Make every twentieth matrix of the language model anew."""
    weights = [tensor for tensor in read_tensors(model / LANGUAGE_MODEL) if tensor.is_weight]
    content = opened((model / LANGUAGE_MODEL).with_suffix(".bin"))
    return sum(
        put(content, tensor, quantised(tensor.shape, 10_000 + number))
        for number, tensor in enumerate(weights)
        if number % FIVE_PERCENT_STEP == FIVE_PERCENT_PHASE
    )


def _inserted(model: Path) -> int:
    insert_constant(model / LANGUAGE_MODEL, INSERTED_BYTES, INSERTED_SHARE)
    return INSERTED_BYTES


def _little_everywhere(model: Path) -> int:
    """Move one weight in ten by one step: what a fine-tune does, made for the size."""
    changed = 0
    for xml in _models(model):
        content = opened(xml.with_suffix(".bin"))
        for number, tensor in enumerate(read_tensors(xml)):
            if tensor.is_weight:
                moved = np.random.default_rng(number).random(tensor.size, dtype=np.float32)
                step = (moved < MOVED_SHARE / 2).astype(np.uint8) - (moved > 1 - MOVED_SHARE / 2).astype(
                    np.uint8
                )
                changed += put(content, tensor, content[tensor.offset : tensor.offset + tensor.size] + step)
    return changed


def _requantised(model: Path) -> int:
    """Make all matrices and their scales anew."""
    changed = 0
    for xml in _models(model):
        content = opened(xml.with_suffix(".bin"))
        for number, tensor in enumerate(read_tensors(xml)):
            if tensor.is_weight:
                changed += put(content, tensor, quantised(tensor.shape, 20_000 + number))
            elif tensor.is_scale:
                scales = np.random.default_rng(number).normal(6e-4, 3e-5, tensor.shape)
                changed += put(content, tensor, scales.astype(np.float16))
    return changed


_SUCCESSORS: dict[str, Callable[[Path], int]] = {
    "configuration": _configuration,
    "five_percent": _five_percent,
    "inserted": _inserted,
    "little_everywhere": _little_everywhere,
    "requantised": _requantised,
}


def _models(model: Path) -> list[Path]:
    return sorted(model.glob("openvino_*_model.xml"))


def _fine_tuned(work: Path, steps: int) -> Case:
    """Return a small real model beside the lab's other files, before and after a fine-tune of all of it."""
    model = ROOT / ".lab/model/repository/Qwen/Qwen2.5-VL-7B-Instruct-ov-int8"
    directories = []
    for name, export in zip(("minilm", "fine_tuned"), make_pair(work / "pair", steps), strict=True):
        directory = work / name
        shutil.copytree(model, directory)
        for suffix in (".xml", ".bin"):
            shutil.copy(export / f"openvino_model{suffix}", directory / f"openvino_minilm_model{suffix}")
        directories.append(directory)
    base, successor = directories
    total = sum(path.stat().st_size for path in successor.iterdir())
    return Case("fine_tuned", base, successor, FINE_TUNED_AIM * total)
