"""The tiny model through the real optimum-intel, nncf and OpenVINO: the code that a 7B model takes.

EXPORT_PYTHON names the Python that has the packages of ovms-service/export_requirements.txt (default: this
one). Each export takes about 15 s on two cores.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.export.content import read_export
from ovms_edge.export.place import Place
from ovms_edge.ovms.ir import QWEN2_5_VL_MODELS, check_ir, read_constants

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("EXPORT_PYTHON", sys.executable)
GRAPH_ARGUMENTS = ("--target_device", "CPU", "--cache_size", "1", "--max_num_seqs", "1")

GENERATE = """\
import json, sys
import numpy, openvino, openvino_genai
scheduler = openvino_genai.SchedulerConfig()
scheduler.cache_size, scheduler.max_num_seqs = 1, 1
pipeline = openvino_genai.VLMPipeline(sys.argv[1], "CPU", scheduler_config=scheduler)
def answer(prompt, shade):
    image = openvino.Tensor(numpy.full((112, 168, 3), shade, numpy.uint8))
    return pipeline.generate(prompt, images=[image], max_new_tokens=16).texts[0]
requests = [("What is in this order?", 30), ("What is in this order?", 220), ("Is the order complete?", 30)]
print(json.dumps([answer(*request) for request in [*requests, requests[0]]]))
"""


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    done = subprocess.run(
        [PYTHON, "-c", "import optimum.intel, openvino_genai"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        pytest.fail(f"{PYTHON} cannot export and generate: {reason}; run make venv", pytrace=False)


def make_tiny_model(directory: Path, *arguments: str) -> Path:
    subprocess.run([PYTHON, ROOT / "lab/tiny_model.py", directory, *arguments], check=True)
    return directory


def export_command(source: Path, repository: Path, *arguments: str) -> list[str]:
    return [
        *(PYTHON, str(ROOT / "ovms-service/export_model.py"), "text_generation"),
        *("--source_model", str(source), "--weight-format", "int8"),
        *("--model_repository_path", str(repository), *GRAPH_ARGUMENTS, *arguments),
    ]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def digests(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if path.is_file()
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("source") / "tiny")


@pytest.fixture(scope="module")
def repository(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("repository") / "models"
    result = run(export_command(source, repository))
    assert result.returncode == 0, result.stderr
    return repository


@pytest.fixture(scope="module")
def model(repository: Path) -> Path:
    return repository / "tiny-ov-int8"


def test_tiny_model_is_the_same_bytes_each_time_and_others_for_another_seed(
    source: Path, tmp_path: Path
) -> None:
    assert digests(make_tiny_model(tmp_path / "again")) == digests(source)
    other = digests(make_tiny_model(tmp_path / "other", "--seed", "2"))
    assert {name for name, digest in digests(source).items() if other[name] != digest} == {
        "model.safetensors"
    }


def test_export_is_whole_and_its_bins_are_as_long_as_the_xmls_say(model: Path) -> None:
    pairs = check_ir(model)
    assert [pair.xml_path.stem for pair in pairs] == list(QWEN2_5_VL_MODELS)
    for pair in pairs:
        constants = read_constants(pair.xml_path)
        assert pair.bin_bytes == max(constant.offset + constant.size for constant in constants)


def test_weights_are_int8(model: Path) -> None:
    language_model = (model / "openvino_language_model.xml").read_text()
    assert 'element_type="u8"' in language_model or 'element_type="i8"' in language_model
    record = read_export(model)
    assert record.weight_format == "int8"
    assert set(record.tools) >= {"optimum-intel", "openvino", "torch", "transformers"}


def test_repository_serves_the_model(repository: Path) -> None:
    config = json.loads((repository / "config.json").read_text())
    assert config == {
        "model_config_list": [{"config": {"name": "tiny-ov-int8", "base_path": "tiny-ov-int8"}}]
    }


def test_same_command_again_changes_nothing(source: Path, repository: Path, model: Path) -> None:
    before = digests(model)
    result = run(export_command(source, repository))
    assert result.returncode == 0, result.stderr
    assert "is there, whole" in result.stderr
    assert digests(model) == before


def test_exported_model_answers_with_an_image(model: Path) -> None:
    result = run([PYTHON, "-c", GENERATE, str(model)])
    assert result.returncode == 0, result.stderr
    first, other_image, other_prompt, first_again = json.loads(result.stdout.splitlines()[-1])
    assert first.strip()
    assert first_again == first
    assert other_image != first
    assert other_prompt != first


def test_source_without_a_tokenizer_is_refused_and_nothing_is_left(source: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in source.iterdir():
        if "token" not in path.name and path.name not in ("vocab.json", "merges.txt"):
            (broken / path.name).write_bytes(path.read_bytes())
    result = run(export_command(broken, tmp_path / "models"))
    assert result.returncode == 1
    assert "openvino_tokenizer.xml is missing; check that the source is complete" in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".broken-ov-int8.lock"]


@pytest.mark.parametrize("progress", ["optimum.log", "model/*.json", "model/openvino_*.xml"])
def test_killed_export_is_never_taken_for_a_model(source: Path, tmp_path: Path, progress: str) -> None:
    command = export_command(source, tmp_path / "models")
    target = tmp_path / "models" / "tiny-ov-int8"
    workspace = tmp_path / "models" / ".tiny-ov-int8.exporting"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 300
        while not any(workspace.glob(progress)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    with pytest.raises(EdgeError, match="no model directory"):
        check_ir(target)
    with wait_for_lock(Place(target), deadline):
        assert [path for path in Place(target).recover() if "interrupted" in path]
    assert [path.name for path in target.parent.iterdir()] == [".tiny-ov-int8.lock"]


@contextmanager
def wait_for_lock(place: Place, deadline: float) -> Iterator[None]:
    """The converter of a killed export holds the lock until the kernel has ended it too."""
    while True:
        try:
            with place.locked():
                yield
                return
        except EdgeError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
