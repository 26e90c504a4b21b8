from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from ovms_edge.cli import main
from tests.unit.release_model import write_model

PAGE = Path(__file__).parents[2] / "docs/memory.md"
QWEN = ["plan-memory", "--weights-gib", "7.8", "--kv-bytes-per-token", "57344", "--host-gib"]


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_the_sum_is_aligned_and_the_result_has_four_lines(capsys: pytest.CaptureFixture[str]) -> None:
    total, result = output(capsys, *QWEN, "31.0").rstrip("\n").split("\n\n")
    assert {line.index(" GiB ") for line in total.splitlines()} == {24}
    assert "KV cache             4.0 GiB  cache_size, computed" in total
    assert result.splitlines() == [
        "cache_size   4 (computed; 119837 tokens at u8)",
        "concurrency  11 (max_num_seqs; requests of 10121 tokens)",
        "tier         B (one model)",
        "OVMS         2025.4.1 compares cache_size with 20.1 GiB at load; "
        "allocates the KV cache at the first request, not before",
    ]


def test_a_directory_says_what_its_model_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path / "vlm")
    found = json.loads(output(capsys, "plan-memory", str(model), "--host-gib", "15.3", "--json"))
    assert (found["cache_size_gib"], found["concurrency"], found["tier"]) == (2, 5, "A")
    assert {"label": "host", "bytes": int(15.3 * 1024**3), "note": "MemTotal"} in found["lines"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--tier", "A"], "cache_size   3 (computed; "),
        (["--cache-size", "6"], "cache_size   6 (as asked; "),
        (["--tokens-per-request", "60000"], "concurrency  1 (max_num_seqs; requests of 60000 tokens)"),
        (
            ["--tokens-per-request", "120000"],
            "requests of 120000 tokens, which the KV cache cannot hold: raise cache_size",
        ),
        (["--kv-precision", "f16"], "tokens at f16"),
        (["--ovms-version", "2025.3"], "2025.3 does not check cache_size at load"),
        (["--device", "CPU"], "compares cache_size with 31.0 GiB"),
        (["--device", "GPU.1"], "compares cache_size with 20.1 GiB"),
        (["--discrete", "--gpu-gib", "16"], "GPU weights          8.6 GiB"),
    ],
)
def test_options_reach_the_plan(
    options: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in output(capsys, *QWEN, "31.0", *options)


def test_a_model_of_unknown_tokens_is_said_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    found = output(capsys, "plan-memory", "--weights-gib", "1", "--host-gib", "31")
    assert "concurrency  1 (max_num_seqs; until it is known what a token takes)" in found


def test_a_token_that_is_larger_than_the_cache_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    call = ["plan-memory", "--weights-gib", "1", "--kv-bytes-per-token", str(10**12), "--host-gib", "31"]
    found = output(capsys, *call)
    assert "not one token: each takes more than all of it" in found
    assert "not known" not in found


def test_a_refusal_is_one_json_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QWEN, "31.0", "--cache-size", "32", "--json"]) == 1
    found = capsys.readouterr()
    assert found.err == ""
    refusal = json.loads(found.out)
    assert refusal["ok"] is False
    assert "42.6 GiB needed" in refusal["reason"]
    assert refusal["remedy"].startswith("set cache_size to at most 18")


def test_a_refused_sum_does_not_fit_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    call = ["plan-memory", "--weights-gib", "23.65", "--kv-bytes-per-token", "57344", "--host-gib", "31"]
    assert main(call) == 1
    numbers = re.search(r"= ([\d.]+) GiB needed, ([\d.]+) GiB usable", capsys.readouterr().err)
    assert numbers is not None
    assert float(numbers[1]) > float(numbers[2])


def test_what_cannot_fit_ends_with_status_1_the_sum_and_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QWEN, "31.0", "--cache-size", "32"]) == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert "KV cache 32.0 + runtime 2.0 = 42.6 GiB needed, 29.0 GiB usable of 31.0 GiB" in found.err
    assert "remedy: set cache_size to at most 18" in found.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--host-gib", "31"], "neither DIR nor --weights-gib"),
        (["DIR", "--weights-gib", "1", "--host-gib", "31"], "both DIR and --weights-gib"),
        (["DIR", "--kv-bytes-per-token", "1", "--host-gib", "31"], "--kv-bytes-per-token is given"),
        (["--weights-gib", "1", "--host-gib", "31", "--discrete"], "belong together"),
        (["--weights-gib", "1", "--host-gib", "31", "--gpu-gib", "8"], "belong together"),
        (
            [*("--weights-gib", "1", "--host-gib", "31"), "--device", "CPU", "--discrete", "--gpu-gib", "8"],
            "--discrete with --device CPU",
        ),
        (["--weights-gib", "1", "--host-gib", "31", "--tokens-per-request", "0"], "per request are 0"),
    ],
)
def test_a_call_that_makes_no_sense_is_a_usage_error(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan-memory", *arguments]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--host-gib", "inf"],
        ["--host-gib", "nan"],
        ["--host-gib", "-1"],
        ["--host-gib", "0"],
        ["--host-gib", "1e30"],
        ["--host-gib", "31", "--weights-gib", "0"],
        ["--host-gib", "31GB"],
        ["--host-gib", "31", "--cache-size", "-4"],
        ["--host-gib", "31", "--cache-size", "4.5"],
        ["--host-gib", "31", "--tier", "C"],
        ["--host-gib", "31", "--device", "NPU"],
        [],
    ],
)
def test_values_that_are_none_are_usage_errors(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["plan-memory", "--weights-gib", "1", *arguments])
    assert stop.value.code == 2
    assert "plan-memory: error: " in capsys.readouterr().err


def test_the_page_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.findall(r"```console\n\$ (ovms-edge plan-memory .*)\n((?:.*\n)*?)```", PAGE.read_text())
    assert len(shown) >= 5
    for command, text in shown:
        main(shlex.split(command)[1:])
        found = capsys.readouterr()
        assert found.out + found.err == text, command
