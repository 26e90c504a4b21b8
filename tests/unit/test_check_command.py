"""``ovms-edge graph check``."""

import argparse
import json
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.graph.check_command import add_check
from tests.unit.graph_cases import GOOD, SEED, changed, with_options
from tests.unit.release_model import write_model


def check(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_check(parser.add_subparsers())
    options = parser.parse_args(["check", *arguments])
    status: int = options.run(options)
    return status


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    file = tmp_path / "graph.pbtxt"
    file.write_text(GOOD)
    return file


def test_a_good_graph_is_one_line(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(graph)) == 0
    assert capsys.readouterr().out == f"{graph}: OVMS 2025.4.1 loads it\n"


def test_findings_are_printed_as_a_compiler_does_and_summed_up(
    graph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph.write_text(with_options("block_size: 32 max_num_seqs: 0"))

    assert check(str(graph)) == 1
    out = capsys.readouterr().out
    assert f"{graph}:19:1: error: MEDIAPIPE_GRAPH_CONFIG_FILE_INVALID: " in out
    assert "\n  fix: remove it: OVMS 2024.4 to 2024.5 knows it" in out
    assert out.endswith(
        f"{graph}: OVMS 2025.4.1 refuses it: MEDIAPIPE_GRAPH_CONFIG_FILE_INVALID; 1 error, 1 warning\n"
    )


def test_a_graph_that_loads_and_cannot_answer_is_not_summed_up_as_good(
    graph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph.write_text(changed("RESOURCES:llm", "RESOURCES:model"))

    assert check(str(graph)) == 0
    assert capsys.readouterr().out.endswith("loads it, but it cannot answer; 1 warning\n")


def test_the_version_decides(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph.write_text(with_options("block_size: 32"))

    assert check(str(graph), "--ovms-version", "2024.5") == 0
    assert "loads it" in capsys.readouterr().out


def test_a_directory_stands_for_its_graph_and_its_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model", options="pipeline_type: LM_CB")

    assert check(str(model)) == 1
    assert "refuses it: INTERNAL_ERROR" in capsys.readouterr().out


def test_the_model_may_lie_elsewhere(tmp_path: Path, graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path / "model")
    (model / "openvino_tokenizer.bin").unlink()

    assert check(str(graph)) == 0
    assert check(str(graph), "--model", str(model)) == 1
    assert "openvino_tokenizer" in capsys.readouterr().out


def test_the_host_decides_on_cache_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path / "model")

    assert check(str(model), "--host-gib", "31") == 0
    assert check(str(model), "--host-gib", "4") == 1
    assert "larger than available memory" in capsys.readouterr().out


def test_json_is_one_document_for_all_files(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = graph.with_name("bad.pbtxt")
    bad.write_text("")

    assert check(str(graph), str(bad), "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert [(file["ok"], file["status"]) for file in document["files"]] == [
        (True, "OK"),
        (False, "MEDIAPIPE_GRAPH_CONFIG_FILE_INVALID"),
    ]
    assert document["ok"] is False
    assert document["files"][1]["findings"][0]["line"] == 1


def test_fix_writes_the_graph_and_keeps_the_old_one(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = changed("sync_set", "sync_wait_time: 1 sync_set", with_options("block_size: 32"))
    graph.write_text(bad)

    assert check(str(graph), "--fix") == 0
    out = capsys.readouterr().out
    assert "block_size" in out
    assert f"{graph}: OVMS 2025.4.1 loads it" in out
    assert "block_size" not in graph.read_text()
    assert graph.with_name("graph.pbtxt.bak").read_text() == bad


def test_fix_leaves_a_good_graph_alone(graph: Path) -> None:
    assert check(str(graph), "--fix") == 0
    assert graph.read_text() == GOOD
    assert not graph.with_name("graph.pbtxt.bak").exists()


def test_fix_writes_what_the_seeds_graph_meant_elsewhere(graph: Path, tmp_path: Path) -> None:
    graph.write_text(SEED)
    mended = tmp_path / "mended.pbtxt"

    assert check(str(graph), "--fix", "--output", str(mended)) == 0
    assert graph.read_text() == SEED
    assert check(str(mended)) == 0


@pytest.mark.parametrize(
    "arguments",
    [["--output", "x"], ["--discrete"], ["--gpu-gib", "8"]],
)
def test_arguments_that_do_not_fit_are_usage(graph: Path, arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        check(str(graph), *arguments)


@pytest.mark.parametrize("gib", ["0", "-1", "nan", "inf", "1e30", "1e-12", "31GB"])
@pytest.mark.parametrize("option", ["--host-gib", "--gpu-gib"])
def test_memory_that_no_machine_has_is_usage(graph: Path, option: str, gib: str) -> None:
    with pytest.raises(SystemExit) as stop:
        check(str(graph), option, gib)
    assert stop.value.code == 2


def test_a_nameless_output_is_usage(graph: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        check(str(graph), "--fix", "--output", "")
    assert stop.value.code == 2


def test_files_that_cannot_be_read_or_mended_do_not_keep_the_others_from_it(
    graph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = graph.with_name("nothing.pbtxt")
    unclear = graph.with_name("unclear.pbtxt")
    unclear.write_text("hello world")
    arguments = [str(missing), str(unclear), str(graph), "--fix"]

    assert check(*arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == f"{graph}: OVMS 2025.4.1 loads it\n"
    assert f"cannot read {missing}: " in printed.err
    assert f"{unclear} cannot be mended: " in printed.err
    assert printed.err.count("  remedy: ") == 2

    assert check(*arguments, "--json") == 1
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert printed.err == ""
    assert [file["ok"] for file in document["files"]] == [False, False, True]
    assert document["files"][0]["file"] == str(missing)
    assert document["files"][0]["remedy"] == "name a graph.pbtxt that exists"
    assert document["ok"] is False


def test_an_unknown_version_is_one_document_too(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(graph), "--ovms-version", "1.0", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert "1.0" in document["reason"]
    with pytest.raises(EdgeError):
        check(str(graph), "--ovms-version", "1.0")


def test_what_is_no_utf_8_is_a_finding_with_its_place(
    graph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph.write_bytes("# \u00e9\n# \u00e9".encode() + "\u00e9".encode("latin-1"))

    assert check(str(graph), "--fix") == 1
    assert f"{graph}:2:4: error: " in capsys.readouterr().out


def test_each_fix_keeps_what_it_found(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        graph.write_text(with_options(f"block_size: {number}"))
        assert check(str(graph), "--fix") == 0
    assert "the old one is " in capsys.readouterr().out
    for number, name in enumerate(["bak", "bak.1", "bak.2"]):
        assert graph.with_name(f"graph.pbtxt.{name}").read_text() == with_options(f"block_size: {number}")


def test_a_link_stays_one_and_the_mode_stays(graph: Path) -> None:
    graph.write_text(with_options("block_size: 32"))
    graph.chmod(0o640)
    link = graph.parent / "links" / "link.pbtxt"
    link.parent.mkdir()
    link.symlink_to(graph)

    assert check(str(link), "--fix") == 0
    assert link.is_symlink()
    assert "block_size" not in graph.read_text()
    assert graph.stat().st_mode & 0o777 == 0o640
    assert graph.with_name("graph.pbtxt.bak").stat().st_mode & 0o777 == 0o640


def test_an_output_that_is_the_input_is_in_place(graph: Path) -> None:
    bad = with_options("block_size: 32")
    graph.write_text(bad)
    (graph.parent / "same").symlink_to(graph)

    assert check(str(graph), "--fix", "--output", str(graph.parent / "same")) == 0
    assert graph.with_name("graph.pbtxt.bak").read_text() == bad
