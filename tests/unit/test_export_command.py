"""The exporter around its converter: a program that writes a model's files in place of optimum-cli.

tests/e2e/test_export.py runs the real one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.export.command import Progress, export_model, main
from ovms_edge.export.content import read_export
from ovms_edge.export.optimum import Converter
from ovms_edge.export.options import parse_arguments
from ovms_edge.export.place import Place
from ovms_edge.ovms.ir import QWEN2_5_VL_MODELS

CONVERTER = f"""\
#!{sys.executable}
import os, pathlib, sys, time
output = pathlib.Path(sys.argv[-1])
pause = float(os.environ.get("PAUSE", "0"))
output.mkdir()
print("converting", *sys.argv[1:], flush=True)
xml = '<?xml version="1.0"?><net><layers><layer name="w" type="Const"><data offset="0" size="64"/>'
for model in {QWEN2_5_VL_MODELS!r}:
    time.sleep(pause)
    (output / (model + ".bin")).write_bytes(bytes(64))
    (output / (model + ".xml")).write_text(xml + "</layer></layers></net>")
for name in ("config", "generation_config", "preprocessor_config", "tokenizer", "tokenizer_config"):
    (output / (name + ".json")).write_text("{{}}")
(output / "chat_template.jinja").write_text("template")
exec(os.environ.get("THEN", ""))
"""

DRIVER = """\
import sys
from pathlib import Path
from ovms_edge.export.command import Progress, export_model
from ovms_edge.export.optimum import Converter
from ovms_edge.export.options import parse_arguments
export_model(parse_arguments(sys.argv[2:]), Progress(), lambda: Converter(Path(sys.argv[1]), {}))
"""


@pytest.fixture
def converter(tmp_path: Path) -> Converter:
    cli = tmp_path / "converter"
    cli.write_text(CONVERTER)
    cli.chmod(0o755)
    return Converter(cli, {"optimum-intel": "1.27.0"})


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    source = tmp_path / "tiny"
    source.mkdir()
    (source / "config.json").write_text("{}")
    return [
        "text_generation",
        "--source_model",
        str(source),
        "--model_repository_path",
        str(tmp_path / "models"),
    ]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "tiny-ov-int8"


def run(arguments: list[str], converter: Converter) -> None:
    export_model(parse_arguments(arguments), Progress(), lambda: converter)


def no_converter() -> Converter:
    pytest.fail("nothing had to be converted")


def visible(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if not path.name.endswith(".lock")}


def test_export_is_whole_recorded_and_served(
    arguments: list[str], converter: Converter, target: Path, tmp_path: Path
) -> None:
    run([*arguments, "--cache_size", "0"], converter)
    record = read_export(target)
    assert (record.model, record.weight_format, record.tools) == ("tiny", "int8", {"optimum-intel": "1.27.0"})
    assert str(tmp_path) not in (target / "export.json").read_text()
    assert "cache_size: 0\n" in (target / "graph.pbtxt").read_text()
    config = json.loads((target.parent / "config.json").read_text())
    assert config["model_config_list"] == [{"config": {"name": "tiny-ov-int8", "base_path": "tiny-ov-int8"}}]
    assert visible(target.parent) == {"tiny-ov-int8", "config.json"}


def test_same_export_again_converts_nothing(
    arguments: list[str], converter: Converter, capsys: pytest.CaptureFixture[str]
) -> None:
    run(arguments, converter)
    export_model(parse_arguments(arguments), Progress(), no_converter)
    assert "is there, whole and made with the same options" in capsys.readouterr().err


def test_lost_config_is_written_again_without_converting(
    arguments: list[str], converter: Converter, target: Path
) -> None:
    run(arguments, converter)
    (target.parent / "config.json").unlink()
    export_model(parse_arguments(arguments), Progress(), no_converter)
    assert "tiny-ov-int8" in (target.parent / "config.json").read_text()


def test_other_options_are_named_and_need_overwrite(
    arguments: list[str], converter: Converter, target: Path
) -> None:
    run(arguments, converter)
    with pytest.raises(EdgeError, match=r"cache_size 4, now 8; add --overwrite_models"):
        run([*arguments, "--cache_size", "8"], converter)
    run([*arguments, "--cache_size", "8", "--overwrite_models"], converter)
    assert read_export(target).options["cache_size"] == 8


def test_another_source_under_the_same_name_is_noticed(
    arguments: list[str], converter: Converter, tmp_path: Path
) -> None:
    run(arguments, converter)
    (tmp_path / "tiny" / "model.safetensors").write_text("other weights")
    with pytest.raises(EdgeError, match=r"revision sha256:\w+, now sha256:"):
        run(arguments, converter)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("(output / 'openvino_tokenizer.bin').unlink()", r"openvino_tokenizer\.bin is missing"),
        ("os.truncate(output / 'openvino_language_model.bin', 63)", "64 bytes expected .* 63 found"),
        ("(output / 'preprocessor_config.json').unlink()", r"preprocessor_config\.json is missing"),
        ("(output / 'config.json').write_text('{')", r"config\.json is damaged"),
        ("(output / 'chat_template.jinja').unlink()", "no chat template"),
        ("sys.exit('ValueError: vocab_size')", "status 1; its last lines:\n  .*\n  ValueError: vocab_size"),
        ("os.kill(os.getpid(), 9)", "memory ran out"),
    ],
)
@pytest.mark.parametrize("with_old", [False, True])
def test_partial_export_is_refused_and_leaves_the_repository_as_it_was(
    arguments: list[str],
    converter: Converter,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
    message: str,
    with_old: bool,
) -> None:
    if with_old:
        run(arguments, converter)
    monkeypatch.setenv("THEN", damage)
    with pytest.raises(EdgeError, match=message):
        run([*arguments, "--cache_size", "9", "--overwrite_models"], converter)
    if with_old:
        assert read_export(target).options["cache_size"] == 4
        assert visible(target.parent) == {"tiny-ov-int8", "config.json"}
    else:
        assert visible(target.parent) == set()


def test_damaged_export_in_place_is_not_taken_for_a_model(
    arguments: list[str], converter: Converter, target: Path
) -> None:
    run(arguments, converter)
    os.truncate(target / "openvino_language_model.bin", 10)
    with pytest.raises(EdgeError, match=r"not a whole export: .*_language_model\.bin is truncated"):
        run(arguments, converter)
    run([*arguments, "--overwrite_models"], converter)
    assert read_export(target)


def test_directory_of_models_is_never_replaced(
    arguments: list[str], converter: Converter, target: Path
) -> None:
    run([*arguments, "--model_name", "Qwen/x"], converter)
    with pytest.raises(EdgeError, match="is no exported model; choose another --model_name"):
        run([*arguments, "--model_name", "Qwen", "--overwrite_models"], converter)
    assert read_export(target.parent / "Qwen" / "x")


def test_what_cannot_succeed_is_refused_before_converting(arguments: list[str], target: Path) -> None:
    with pytest.raises(EdgeError, match=r"2099\.1"):
        export_model(parse_arguments([*arguments, "--ovms_version", "2099.1"]), Progress(), no_converter)
    target.parent.mkdir()
    (target.parent / "config.json").write_text("{")
    with pytest.raises(EdgeError, match="is not JSON"):
        export_model(parse_arguments(arguments), Progress(), no_converter)


def test_missing_packages_are_named_with_the_command_that_brings_them(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "python"))
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "the export needs packages" in said
    assert "bare/python -m pip install -r export_requirements.txt" in said


def test_kill_at_any_moment_never_leaves_half_a_model(
    arguments: list[str], converter: Converter, target: Path
) -> None:
    environment = {
        **os.environ,
        "PAUSE": "0.05",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [sys.executable, "-c", DRIVER, str(converter.cli), *arguments]
    started = time.monotonic()
    subprocess.run([*command, "--cache_size", "1"], check=True, env=environment)
    duration = time.monotonic() - started
    # enough moments to hit interpreter start, conversion, check and publication
    for attempt, moment in enumerate(duration * step / 16 for step in range(1, 17)):
        cache_size = 2 + attempt
        process = subprocess.Popen(
            [*command, "--cache_size", str(cache_size), "--overwrite_models"], env=environment
        )
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        recover(Place(target))
        assert read_export(target).options["cache_size"] in range(1, cache_size + 1)
        assert visible(target.parent) == {"tiny-ov-int8", "config.json"}
    subprocess.run([*command, "--cache_size", "99", "--overwrite_models"], check=True, env=environment)
    assert read_export(target).options["cache_size"] == 99


def test_converter_dies_with_a_killed_export(
    arguments: list[str], converter: Converter, target: Path
) -> None:
    environment = {
        **os.environ,
        "PAUSE": "60",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [sys.executable, "-c", DRIVER, str(converter.cli), *arguments]
    with subprocess.Popen(command, env=environment) as process:
        deadline = time.monotonic() + 20
        while not Place(target).staging.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    recover(Place(target))
    assert visible(target.parent) == set()


def recover(place: Place, deadline_seconds: float = 5.0) -> None:
    """What the next run does first: it gets the lock once the killed run's converter is dead as well."""
    end = time.monotonic() + deadline_seconds
    while True:
        try:
            with place.locked():
                place.recover()
                return
        except EdgeError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
