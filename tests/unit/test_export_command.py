"""The exporter around its converter: a program that writes a model's files in place of optimum-cli.

tests/e2e/test_export.py runs the real one.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.export.arguments import parse_arguments
from ovms_edge.export.command import export_model, main
from ovms_edge.export.content import read_export
from ovms_edge.export.optimum import Converter
from ovms_edge.export.place import Place
from ovms_edge.export.progress import Progress
from tests.unit.export_converter import (
    DRIVER,
    TOOLS,
    VLM_CONFIG,
    driver_environment,
    write_converter,
    write_source,
)

OTHER_WEIGHTS = ("--weight-format", "int4", "--model_name", "tiny-ov-int8")


@pytest.fixture
def converter(tmp_path: Path) -> Converter:
    return write_converter(tmp_path / "converter")


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    source = write_source(tmp_path / "tiny", VLM_CONFIG)
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
    assert (record.model, record.weight_format, record.tools) == ("tiny", "int8", TOOLS)
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
    with pytest.raises(
        EdgeError, match=r"graph\.pbtxt was made otherwise: cache_size 4, now 8; add --overwrite"
    ):
        run([*arguments, "--cache_size", "8"], converter)
    run([*arguments, "--cache_size", "8", "--overwrite_models"], converter)
    assert read_export(target).options["cache_size"] == 8


def test_another_source_under_the_same_name_is_noticed(
    arguments: list[str], converter: Converter, tmp_path: Path
) -> None:
    run(arguments, converter)
    (tmp_path / "tiny" / "vocab.json").write_text("another vocabulary")
    with pytest.raises(EdgeError, match=r"revision sha256:\w+, now sha256:"):
        run(arguments, converter)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("(output / 'openvino_tokenizer.bin').unlink()", r"openvino_tokenizer\.bin is missing"),
        ("os.truncate(output / 'openvino_language_model.bin', 63)", "64 bytes expected .* 63 found"),
        ("(output / 'preprocessor_config.json').unlink()", r"preprocessor_config\.json is missing"),
        ("(output / 'config.json').write_text('{')", r"config\.json is not JSON"),
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
        run([*arguments, *OTHER_WEIGHTS, "--overwrite_models"], converter)
    if with_old:
        assert read_export(target).weight_format == "int8"
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
    with pytest.raises(EdgeError, match=r"Qwen holds another model, .*Qwen/x; "):
        run([*arguments, "--model_name", "Qwen", "--overwrite_models"], converter)
    assert read_export(target.parent / "Qwen" / "x")


def test_what_cannot_succeed_is_refused_before_converting(arguments: list[str], target: Path) -> None:
    with pytest.raises(EdgeError, match=r"2099\.1"):
        export_model(parse_arguments([*arguments, "--ovms_version", "2099.1"]), Progress(), no_converter)
    target.parent.mkdir()
    (target.parent / "config.json").write_text("{")
    with pytest.raises(EdgeError, match="not a valid JSON"):
        export_model(parse_arguments(arguments), Progress(), no_converter)


def test_missing_packages_are_named_with_the_command_that_brings_them(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "python"))
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "the export needs packages" in said
    assert "bare/python -m pip install -r export_requirements.txt" in said


@pytest.mark.parametrize("what", ["convert", "graph"])
def test_kill_at_any_moment_never_leaves_half_a_model(
    arguments: list[str], converter: Converter, target: Path, what: str
) -> None:
    environment = driver_environment(pause_seconds=0.05)
    command = [sys.executable, "-c", DRIVER, str(converter.cli), *arguments, "--overwrite_models"]
    command += ["--model_name", target.name]
    started = time.monotonic()
    subprocess.run([*command, "--cache_size", "1"], check=True, env=environment)
    duration = time.monotonic() - started
    if what == "graph":
        started = time.monotonic()
        subprocess.run([*command, "--cache_size", "2"], check=True, env=environment)
        duration = time.monotonic() - started
    # enough moments to hit interpreter start, conversion, check and publication
    for attempt, moment in enumerate(duration * step / 16 for step in range(1, 17)):
        cache_size, before = str(3 + attempt), read_export(target).options["cache_size"]
        other = ("--weight-format", ("int4", "int8")[attempt % 2]) if what == "convert" else ()
        process = subprocess.Popen([*command, "--cache_size", cache_size, *other], env=environment)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        recover(Place(target))
        assert read_export(target).options["cache_size"] in (before, int(cache_size))
        assert visible(target.parent) == {"tiny-ov-int8", "config.json"}
    subprocess.run([*command, "--cache_size", "99"], check=True, env=environment)
    assert read_export(target).options["cache_size"] == 99


def test_converter_dies_with_a_killed_export(
    arguments: list[str], converter: Converter, target: Path
) -> None:
    environment = driver_environment(pause_seconds=60)
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


def test_graph_options_are_changed_without_converting_and_the_record_follows(
    arguments: list[str], converter: Converter, target: Path
) -> None:
    run(arguments, converter)
    weights = (target / "openvino_language_model.bin").stat()
    before = read_export(target)
    changed = [*arguments, "--max_num_seqs", "2", "--overwrite_models"]
    export_model(parse_arguments(changed), Progress(), no_converter)
    after = read_export(target)
    assert after.options == {**before.options, "max_num_seqs": 2}
    assert (after.revision, after.tools, after.model) == (before.revision, before.tools, before.model)
    assert after.files["graph.pbtxt"] != before.files["graph.pbtxt"]
    assert (target / "openvino_language_model.bin").stat().st_ino == weights.st_ino
    assert "max_num_seqs: 2\n" in (target / "graph.pbtxt").read_text()


def test_edited_graph_is_kept_and_said_so(
    arguments: list[str], converter: Converter, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(arguments, converter)
    graph = target / "graph.pbtxt"
    written = graph.read_text()
    edited = written.replace("cache_size: 4", "cache_size: 3")
    graph.write_text(edited)
    export_model(parse_arguments(arguments), Progress(), no_converter)
    assert "graph.pbtxt was edited since it was exported, and is kept" in capsys.readouterr().err
    assert graph.read_text() == edited
    with pytest.raises(EdgeError, match=r"max_num_seqs null, now 2; graph\.pbtxt was edited"):
        run([*arguments, "--max_num_seqs", "2"], converter)
    assert graph.read_text() == edited
    export_model(parse_arguments([*arguments, "--overwrite_models"]), Progress(), no_converter)
    assert graph.read_text() == written


def test_graph_edited_into_one_that_ovms_refuses_is_an_error(
    arguments: list[str], converter: Converter, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(arguments, converter)
    graph = target / "graph.pbtxt"
    graph.write_text(graph.read_text().replace("cache_size: 4", "block_size: 32"))
    with pytest.raises(EdgeError, match=r"would refuse this graph\.pbtxt"):
        run(arguments, converter)
    assert "MEDIAPIPE_GRAPH_CONFIG_FILE_INVALID" in capsys.readouterr().err


def test_one_flipped_bit_in_place_is_found(arguments: list[str], converter: Converter, target: Path) -> None:
    run(arguments, converter)
    weights = target / "openvino_language_model.bin"
    weights.write_bytes(b"\1" + weights.read_bytes()[1:])
    with pytest.raises(EdgeError, match=r"language_model\.bin is not as it was exported: its SHA-256"):
        run(arguments, converter)


def test_dry_run_prints_the_plan_and_writes_nothing(
    arguments: list[str], converter: Converter, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run([*arguments, "--dry-run"], converter)
    said = capsys.readouterr().out
    assert "optimum-cli export openvino --task image-text-to-text --weight-format int8" in said
    assert "to do: make the model" in said
    assert 'models_path: "./"' in said
    assert not target.parent.exists()


@pytest.mark.parametrize("device", ["gpu", "FOO", ""])
def test_dry_run_refuses_a_graph_that_the_run_would_refuse(
    arguments: list[str], converter: Converter, target: Path, device: str
) -> None:
    for words in (["--dry-run"], []):
        with pytest.raises(EdgeError):
            run([*arguments, "--target_device", device, *words], converter)
    assert not target.exists()


def test_dry_run_refuses_what_the_run_would_miss(arguments: list[str]) -> None:
    def missing() -> Converter:
        raise EdgeError("no optimum-cli", "install it")

    with pytest.raises(EdgeError, match="no optimum-cli"):
        export_model(parse_arguments([*arguments, "--dry-run"]), Progress(), missing)


def test_dry_run_says_what_would_be_recovered_and_does_nothing(
    arguments: list[str], converter: Converter, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(arguments, converter)
    place = Place(target)
    target.rename(place.replaced)
    place.workspace.mkdir()
    run([*arguments, "--dry-run"], converter)
    said = capsys.readouterr().out
    assert f"would remove {place.workspace}: left by" in said
    assert f"would put {target} back: " in said
    assert "to do: nothing" in said
    assert place.replaced.is_dir()
    assert place.workspace.is_dir()
    assert not target.exists()


@pytest.mark.parametrize("dangling", [False, True])
def test_link_in_place_of_the_model_is_refused_before_converting(
    arguments: list[str], target: Path, tmp_path: Path, dangling: bool
) -> None:
    target.parent.mkdir()
    target.symlink_to(tmp_path / ("missing" if dangling else "tiny"))
    with pytest.raises(EdgeError, match=r"is a symbolic link: .*; remove the link"):
        export_model(parse_arguments([*arguments, "--overwrite_models"]), Progress(), no_converter)
    assert target.is_symlink()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model_name", "config.json"], "is where .*config.json is to be"),
        (["--config_file_path", "{target}/c.json"], "is where .*c.json is to be"),
        (["--model_repository_path", "{source}/models"], "is inside the source"),
        (["--model_repository_path", "{source}/config.json"], "config.json is no directory"),
        (["--model_name", "tiny-ov-int8/inner"], "tiny-ov-int8 is a model itself"),
    ],
)
def test_place_that_is_none_is_refused_before_converting(
    arguments: list[str], target: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    if "inner" in words[1]:
        target.mkdir(parents=True)
        (target / "graph.pbtxt").touch()
    filled = [word.format(target=target, source=tmp_path / "tiny") for word in words]
    for dry_run in ([], ["--dry-run"]):
        with pytest.raises(EdgeError, match=message):
            export_model(parse_arguments([*arguments, *filled, *dry_run]), Progress(), no_converter)


def test_model_that_was_broken_off_early_may_be_replaced(
    arguments: list[str], converter: Converter, target: Path
) -> None:
    target.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "export.json"):
        (target / name).write_text("{}")
    run([*arguments, "--overwrite_models"], converter)
    assert read_export(target)


@pytest.mark.parametrize(
    ("name", "content"), [("notes.txt", ""), ("config.json", '{"model_config_list": []}')]
)
def test_what_is_no_model_is_never_replaced(
    arguments: list[str], target: Path, name: str, content: str
) -> None:
    target.mkdir(parents=True)
    (target / name).write_text(content)
    with pytest.raises(EdgeError, match="is no exported model; move it away"):
        export_model(parse_arguments([*arguments, "--overwrite_models"]), Progress(), no_converter)
    assert (target / name).exists()


def test_directories_above_the_model_are_passable_for_the_servers_user(
    arguments: list[str], converter: Converter, target: Path
) -> None:
    before = os.umask(0o077)
    try:
        run([*arguments, "--model_name", "Qwen/tiny"], converter)
    finally:
        os.umask(before)
    for directory in (target.parent, target.parent / "Qwen", target.parent / "Qwen/tiny"):
        assert directory.stat().st_mode & 0o777 == 0o755


def test_full_disk_names_the_directory(
    arguments: list[str], converter: Converter, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ovms_edge.export.make.convert", full)
    with pytest.raises(OSError, match="No space left") as caught:
        run(arguments, converter)
    assert caught.value.filename == str(Place(target).workspace)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--help"], 0, "usage: export_model.py"),
        (["text_generation", "--help"], 0, "--source_model"),
        (
            ["text_generation", "--source_model", "a/b"],
            1,
            "packages that .*: jsonschema, protobuf; run .* pip",
        ),
    ],
)
def test_without_any_package_there_is_help_and_a_remedy(words: list[str], status: int, said: str) -> None:
    script = Path(__file__).parents[2] / "ovms-service/export_model.py"
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert re.search(said, done.stdout + done.stderr)
    assert "Traceback" not in done.stderr


def test_cache_size_that_does_not_fit_is_a_warning_with_the_sum(
    arguments: list[str], converter: Converter, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run([*arguments, "--cache_size", "32"], converter)
    said = capsys.readouterr().err
    assert "warning: for a host of 32 GiB: memory too small: weights 0.0 + KV cache 32.0" in said
    assert read_export(target).options["cache_size"] == 32


@pytest.mark.parametrize(("gib", "expected"), [("16", 2), ("32", 4), ("64", 8)])
def test_cache_size_is_planned_for_the_host_that_serves(
    arguments: list[str], converter: Converter, target: Path, gib: str, expected: int
) -> None:
    run([*arguments, "--target_memory_gib", gib], converter)
    assert read_export(target).options["cache_size"] == expected


def test_converter_asks_nothing_and_leaves_no_path_of_this_machine(
    arguments: list[str], converter: Converter, target: Path, tmp_path: Path
) -> None:
    run(arguments, converter)
    said = json.loads((target / "said.json").read_text())
    assert said["arguments"][:4] == ["export", "openvino", "--model", "tiny"]
    assert (said["CI"], said["HF_HUB_OFFLINE"], said["stdin"]) == ("true", "1", "/dev/null")
    assert said["TMPDIR"] == str(tmp_path / "models" / ".tiny-ov-int8.exporting" / "tmp")


def test_too_little_memory_is_refused_with_figure_and_remedy_unless_skipped(
    arguments: list[str], converter: Converter, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ovms_edge.export.make.available_memory", lambda: 3_000_000_000)
    with pytest.raises(EdgeError, match=r"about 4 GB at its peak, 3\.0 GB are available.*--skip_memory"):
        run(arguments, converter)
    assert not target.exists()
    run([*arguments, "--skip_memory_check"], converter)
    assert read_export(target)
