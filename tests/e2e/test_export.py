"""The tiny model through the real optimum-intel, nncf and OpenVINO: the code that a 7B model takes.

EXPORT_PYTHON names the Python that has the packages of ovms-service/export_requirements.txt (default: this
one). Each export takes about 10 s on two cores, so one is killed at eight random moments, and at thirty with
OVMS_EDGE_ALL_FAULTS=1. test_export_install.py installs those requirements.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
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
KILLS = 30 if os.environ.get("OVMS_EDGE_ALL_FAULTS") == "1" else 8
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

GENERATE_WITH_DRAFT = """\
import json, sys
import openvino_genai as genai
scheduler = genai.SchedulerConfig()
scheduler.cache_size = 1
def answer(**extra):
    pipeline = genai.LLMPipeline(sys.argv[1], "CPU", scheduler_config=scheduler, **extra)
    return pipeline.generate("What is in this order?", max_new_tokens=24)
print(json.dumps([answer(), answer(draft_model=genai.draft_model(sys.argv[2], "CPU"))]))
"""


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    done = subprocess.run(
        [PYTHON, "-c", "import optimum.intel, openvino_genai"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        pytest.fail(f"{PYTHON} cannot export and generate: {reason}; run make venv", pytrace=False)


def make_tiny_model(directory: Path, *arguments: str, maker: str = "tiny_model.py") -> Path:
    subprocess.run([PYTHON, ROOT / "lab" / maker, directory, *arguments], check=True)
    return directory


def export_command(source: Path, repository: Path, *arguments: str) -> list[str]:
    return [
        *(PYTHON, str(ROOT / "ovms-service/export_model.py"), "text_generation"),
        *("--source_model", str(source), "--weight-format", "int8"),
        *("--model_repository_path", str(repository), *GRAPH_ARGUMENTS, *arguments),
    ]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


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
def text_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("source") / "text", maker="tiny_text_model.py")


@pytest.fixture(scope="module")
def repository(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository, home = tmp_path_factory.mktemp("repository") / "models", tmp_path_factory.mktemp("home")
    result = run(export_command(source, repository), HOME=str(home))
    assert result.returncode == 0, result.stderr
    # openvino-telemetry keeps a client's id there as soon as it may send
    assert not (home / "intel").exists()
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


def test_export_leaves_no_path_of_this_machine(source: Path, model: Path) -> None:
    for path in model.iterdir():
        assert str(source.parent).encode() not in path.read_bytes(), path


def test_exported_ir_is_adopted_byte_for_byte(model: Path, tmp_path: Path) -> None:
    command = export_command(model, tmp_path / "models", "--model_name", "adopted")
    result = run(command)
    assert result.returncode == 0, result.stderr
    adopted = tmp_path / "models" / "adopted"
    same = {name: digest for name, digest in digests(model).items() if name != "export.json"}
    assert {name: digests(adopted)[name] for name in same} == same
    assert read_export(adopted).weight_format == "int8"


def test_text_model_answers_alone_and_with_its_draft_model(text_source: Path, tmp_path: Path) -> None:
    draft = make_tiny_model(tmp_path / "draft", "--seed", "2", maker="tiny_text_model.py")
    result = run(export_command(text_source, tmp_path / "models", "--draft_source_model", str(draft)))
    assert result.returncode == 0, result.stderr
    target = tmp_path / "models" / "text-ov-int8"
    assert 'draft_models_path: "./draft"' in (target / "graph.pbtxt").read_text()
    answered = run([PYTHON, "-c", GENERATE_WITH_DRAFT, str(target), str(target / "draft")])
    assert answered.returncode == 0, answered.stderr
    alone, with_draft = json.loads(answered.stdout.splitlines()[-1])
    # not compared: with random weights two words are often equally good, and batches round differently
    assert alone.strip()
    assert with_draft.strip()


def test_kill_at_random_moments_leaves_the_old_model_or_none_and_the_next_run_completes(
    text_source: Path, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)  # noqa: S311
    print(f"seed {seed}")
    moments = random.Random(seed)  # noqa: S311
    target = tmp_path / "models" / "m"
    place = Place(target)
    formats = ("fp16", "int8")
    command = export_command(text_source, tmp_path / "models", "--model_name", "m", "--overwrite_models")

    def of_format(weight_format: str) -> list[str]:
        return [*command, "--weight-format", weight_format]

    started = time.monotonic()
    assert run(of_format(formats[0])).returncode == 0
    duration = time.monotonic() - started
    for attempt in range(KILLS):
        former, new = formats[attempt % 2], formats[(attempt + 1) % 2]
        with_former = attempt % 4 < 2
        if not with_former:
            shutil.rmtree(target)
        kill(of_format(new), moments.uniform(0, duration), whole_group=attempt % 3 > 0)
        with wait_for_lock(place, time.monotonic() + 60):
            assert_old_new_or_none(place, former if with_former else None, new)
        result = run(of_format(new))
        assert result.returncode == 0, f"seed {seed}, attempt {attempt}: {result.stderr}"
        assert read_export(target).weight_format == new
        assert {path.name for path in target.parent.iterdir()} == {"m", ".m.lock", "config.json"}


def kill(command: list[str], after_seconds: float, *, whole_group: bool) -> None:
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        time.sleep(after_seconds)  # the moment is the point, there is no state to wait for
        if whole_group and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def assert_old_new_or_none(place: Place, former: str | None, new: str) -> None:
    if place.target.exists():
        assert read_export(place.target).weight_format in (former, new)
    elif former is not None:  # between two renames: the next run puts it back
        assert read_export(place.replaced).weight_format == former


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
