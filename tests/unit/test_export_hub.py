"""Hub ids, through the real client of the hub, against a hub on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ovms_edge.export.content import read_export
from ovms_edge.export.place import Place
from tests.unit.export_converter import (
    DRIVER,
    LM_CONFIG,
    VLM_CONFIG,
    driver_environment,
    write_converter,
    write_ir,
)
from tests.unit.export_hub import COMMIT, hub

VISION = "Qwen/Qwen2.5-VL-7B-Instruct"
CONVERTED = "OpenVINO/Qwen3-8B-int4-ov"
EXPORT_MODEL = Path(__file__).parents[2] / "ovms-service/export_model.py"

Run = Callable[..., subprocess.CompletedProcess[str]]


def safetensors(parameters: int) -> bytes:
    size = 2 * parameters
    header = json.dumps({"w": {"dtype": "BF16", "shape": [parameters], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    ir = tmp_path_factory.mktemp("ir") / "model"
    write_ir(ir, LM_CONFIG)
    models = {
        VISION: {
            "config.json": json.dumps(VLM_CONFIG).encode(),
            "model.safetensors": safetensors(1000),
            "pytorch_model.bin": bytes(2000),
            "original/consolidated.00.pth": bytes(2000),
            "quantized.gguf": bytes(500),
            ".gitattributes": b"*.bin",
        },
        CONVERTED: {path.name: path.read_bytes() for path in ir.iterdir()},
        "not/language": {"config.json": b'{"model_type": "t5"}'},
        "no/config": {"README.md": b"text"},
        "secret/model": {},
    }
    with hub(models) as address:
        yield address


@pytest.fixture
def run(served: tuple[str, list[str]], tmp_path: Path) -> Run:
    converter = write_converter(tmp_path / "converter")

    def export(source: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", DRIVER, str(converter.cli), "text_generation"]
        command += ["--source_model", source, "--model_repository_path", str(tmp_path / "models"), *arguments]
        home = {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": served[0], "HF_HUB_DISABLE_XET": "1"}
        return subprocess.run(
            command,
            env={**driver_environment(pause_seconds=0), **home, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return export


def test_hub_model_is_downloaded_at_one_commit_converted_and_recorded(
    run: Run, tmp_path: Path, served: tuple[str, list[str]]
) -> None:
    done = run(VISION, "--revision", "v1")
    assert done.returncode == 0, done.stderr
    record = read_export(tmp_path / "models" / f"{VISION}-ov-int8")
    assert (record.model, record.revision) == (VISION, COMMIT)
    downloaded = {path.rpartition(f"{COMMIT}/")[2] for path in served[1] if f"/resolve/{COMMIT}/" in path}
    assert downloaded == {"config.json", "model.safetensors"}
    assert f"downloading {VISION} at {COMMIT[:12]}" in done.stderr


def test_converter_is_given_the_id_so_that_it_finds_the_models_own_settings(run: Run, tmp_path: Path) -> None:
    assert run(VISION).returncode == 0
    said = json.loads((tmp_path / "models" / f"{VISION}-ov-int8" / "said.json").read_text())
    assert said["arguments"][2:4] == ["--model", VISION]


def test_model_in_place_needs_no_hub(run: Run, tmp_path: Path) -> None:
    assert run(VISION).returncode == 0
    away = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "empty")}
    again = run(VISION, **away)
    assert again.returncode == 0, again.stderr
    assert "cannot be got from http://127.0.0.1:9" in again.stderr
    assert "the model is there already, whole and made with the same options" in again.stderr
    config = tmp_path / "models/config.json"
    config.unlink()
    planned = run(VISION, "--dry-run", **away)
    assert planned.returncode == 0, planned.stderr
    assert "to do: nothing" in planned.stdout
    assert not config.exists(), "a dry run writes nothing"
    place = Place(tmp_path / "models" / f"{VISION}-ov-int8")
    with place.locked():
        assert "another export" in run(VISION, **away).stderr
    place.target.rename(place.replaced)
    assert f"put {place.target} back" in run(VISION, **away).stderr
    assert config.exists()
    graph = place.target / "graph.pbtxt"
    written = graph.read_text()
    graph.write_text(written.replace("cache_size: 4", "block_size: 32"))
    assert "would refuse this graph.pbtxt" in run(VISION, **away).stderr
    graph.write_text(written)
    other = run(VISION, "--max_num_seqs", "2", **away)
    assert other.returncode == 1
    assert "set HF_ENDPOINT to a mirror" in other.stderr


def test_offline_the_cache_is_the_hub(run: Run, tmp_path: Path) -> None:
    offline = run(VISION, HF_HUB_OFFLINE="1")
    assert "is not in the Hugging Face cache" in offline.stderr
    assert run(VISION).returncode == 0
    done = run(VISION, "--model_name", "other", HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert read_export(tmp_path / "models" / "other").revision == COMMIT


def test_openvino_model_of_the_hub_is_taken_as_it_is(run: Run, tmp_path: Path) -> None:
    done = run(CONVERTED)
    assert done.returncode == 0, done.stderr
    target = tmp_path / "models" / CONVERTED
    record = read_export(target)
    assert (record.model, record.revision, record.weight_format) == (CONVERTED, COMMIT, "int4")
    assert record.options["adopted"] is True
    assert not (target / "openvino_model.bin").is_symlink()


def test_dry_run_downloads_no_weights(run: Run, tmp_path: Path) -> None:
    done = run(VISION, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"{VISION} at {COMMIT}, on the hub: vision-language model" in done.stdout
    assert not (tmp_path / "hf").exists()
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        ("no/such", [], "has no model no/such, or it is private; check the id"),
        ("secret/model", [], "secret/model is gated"),
        (VISION, ["--revision", "v9"], f"{VISION} at v9 does not exist"),
        ("not/language", [], "not/language is no language model: its config.json says model_type 't5'"),
        ("no/config", [], "no/config has no config.json"),
    ],
)
def test_what_the_hub_refuses_is_named_with_a_remedy(
    run: Run, served: tuple[str, list[str]], tmp_path: Path, source: str, arguments: list[str], message: str
) -> None:
    command = [sys.executable, str(EXPORT_MODEL), "text_generation", "--source_model", source, *arguments]
    environment = {**driver_environment(0), "HF_ENDPOINT": served[0], "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [*command, "--model_repository_path", str(tmp_path / "models")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
