"""ovms-service/setup_models.sh with the real exporter, on a terminal and without."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.service_folder import MODEL, NAME, ROOT, TINY, Machine, Result, copy_project

pytestmark = pytest.mark.lab

EXPORTED = ROOT / ".lab/model/repository" / NAME
WEIGHTS = "openvino_language_model.bin"
SETUP = "./setup_models.sh"
SERVER_UID = 5000


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return copy_project(tmp_path / "project")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A known place with a whole copy, told by the model's name."""
    shutil.copytree(EXPORTED, tmp_path / "place" / NAME)
    return tmp_path / "place"


@pytest.fixture
def present(machine: Machine, place: Path) -> Machine:
    """A machine that has the model."""
    machine.must(f"{SETUP} --yes", str(place))
    return machine


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def on_a_terminal(machine: Machine, answer: str, search_path: str) -> Result:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "wb", buffering=0) as keyboard:
        keyboard.write(f"{answer}\n".encode())
        done = subprocess.run(
            machine.command(SETUP),
            cwd=machine.service,
            env=machine.environment(search_path),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        os.close(theirs)
    return Result(done.stdout, done.returncode)


def test_a_model_that_is_nowhere_is_exported_without_a_question(machine: Machine) -> None:
    printed = machine.must(f"umask 077; {SETUP}")
    assert f"exporting {TINY}" in printed
    assert "is whole" in printed.splitlines()[-1]
    for path in (machine.model / WEIGHTS, machine.service / "models/config.json"):
        read = [
            "setpriv",
            f"--reuid={SERVER_UID}",
            f"--regid={SERVER_UID}",
            "--clear-groups",
            "cat",
            path.name,
        ]
        subprocess.run(read, cwd=path.parent, check=True, capture_output=True)


def test_a_copy_in_a_known_place_is_adopted(machine: Machine, place: Path) -> None:
    machine.must(f"{SETUP} --yes", f"/nowhere:{place}")
    assert digest(machine.model / WEIGHTS) == digest(place / NAME / WEIGHTS)
    assert (machine.model / WEIGHTS).stat().st_nlink == 1, "what happens to the copy later must not reach us"
    graph = (machine.model / "graph.pbtxt").read_text()
    assert str(place) not in graph + (machine.service / "models/config.json").read_text()
    assert "cache_size: 4" in graph


def test_a_release_is_such_a_copy(machine: Machine, tmp_path: Path) -> None:
    release = tmp_path / "releases/vlm/1.0.0"
    shutil.copytree(EXPORTED, release, ignore=shutil.ignore_patterns("graph.pbtxt", "export.json"))
    manifest = {"source": {"model": TINY.name, "weight_format": "int8"}}
    (release / "manifest.json").write_text(json.dumps(manifest))
    machine.must(f"{SETUP} --yes", str(tmp_path / "releases"))
    assert digest(machine.model / WEIGHTS) == digest(EXPORTED / WEIGHTS)
    assert not (machine.model / "manifest.json").exists()


def test_without_a_terminal_and_yes_it_only_says_what_it_would_do(machine: Machine, place: Path) -> None:
    result = machine.run(SETUP, str(place))
    assert result.status == 1
    assert (
        f"Copy the whole model in {place / NAME}? No terminal to ask on: add --yes to do it" in result.output
    )
    assert not machine.model.exists()


def test_on_a_terminal_the_answer_counts(machine: Machine, place: Path) -> None:
    (place / NAME / "README.md").write_text("of the copy\n")
    declined = on_a_terminal(machine, "n", str(place))
    assert declined.status == 0, declined.output
    assert f"exporting {TINY}" in declined.output
    assert not (machine.model / "README.md").exists()
    (machine.model / WEIGHTS).unlink()
    kept = on_a_terminal(machine, "n", str(place))
    assert kept.status == 1
    assert not (machine.model / WEIGHTS).exists()


def test_accepted_on_a_terminal(machine: Machine, place: Path) -> None:
    accepted = on_a_terminal(machine, "y", str(place))
    assert accepted.status == 0, accepted.output
    assert f"exporting {TINY}" not in accepted.output
    assert digest(machine.model / WEIGHTS) == digest(place / NAME / WEIGHTS)


def test_a_whole_model_is_left_as_it_is(present: Machine) -> None:
    before = {path: path.stat().st_mtime_ns for path in present.model.iterdir()}
    printed = present.must(SETUP)
    assert f"{MODEL} is whole" in printed
    assert {path: path.stat().st_mtime_ns for path in present.model.iterdir()} == before


def test_changed_wishes_are_named_and_applied_where_it_is_said(present: Machine, place: Path) -> None:
    printed = present.must(f"TARGET_DEVICE=CPU CACHE_SIZE=1 {SETUP} -- --max_num_seqs 2")
    assert "TARGET_DEVICE GPU, now CPU" in printed
    assert "CACHE_SIZE 4, now 1" in printed
    assert "not applied: --max_num_seqs 2" in printed
    graph = present.model / "graph.pbtxt"
    assert "cache_size: 4" in graph.read_text()
    present.must(f"TARGET_DEVICE=CPU CACHE_SIZE=1 {SETUP} --yes -- --overwrite_models", str(place))
    assert "cache_size: 1" in graph.read_text()


def test_without_the_packages_it_says_what_to_install(machine: Machine, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    result = machine.run(f"PYTHON={bare} {SETUP}")
    assert result.status == 1
    assert "pip install -r export_requirements.txt" in result.output
    assert "Traceback" not in result.output


def test_a_damaged_model_is_named_and_replaced_by_a_whole_one(present: Machine, place: Path) -> None:
    os.truncate(present.model / WEIGHTS, 100)
    refused = present.run(SETUP, str(place))
    assert refused.status == 1
    assert f"{WEIGHTS} is truncated" in refused.output
    assert (present.model / WEIGHTS).stat().st_size == 100
    present.must(f"{SETUP} --yes", str(place))
    assert digest(present.model / WEIGHTS) == digest(place / NAME / WEIGHTS)


def test_a_model_that_was_broken_off_early_is_made_anew(machine: Machine, place: Path) -> None:
    machine.model.mkdir(parents=True)
    (machine.model / "config.json").write_text("{}")
    machine.must(f"{SETUP} --yes", str(place))
    assert (machine.model / WEIGHTS).exists()


def test_a_flipped_bit_is_damage(present: Machine) -> None:
    weights = present.model / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    weights.write_bytes(content)
    result = present.run(SETUP)
    assert result.status == 1
    assert f"{MODEL}/{WEIGHTS}" in result.output


def test_a_damaged_copy_is_passed_over(machine: Machine, place: Path) -> None:
    os.truncate(place / NAME / WEIGHTS, 100)
    printed = machine.must(f"{SETUP} --yes", str(place))
    assert f"passed over {place / NAME}: " in printed
    assert f"exporting {TINY}" in printed


def test_a_graph_that_ovms_would_refuse_is_said_and_kept(present: Machine) -> None:
    graph = present.model / "graph.pbtxt"
    graph.write_text(graph.read_text().replace("max_num_seqs: 1", "max_num_seqs: 1 block_size: 32"))
    edited = graph.read_text()
    result = present.run(SETUP)
    assert result.status == 1
    assert "block_size" in result.output
    assert f"ovms-edge graph check {MODEL} --fix" in result.output
    assert graph.read_text() == edited


def test_a_servable_that_is_missing_in_the_configuration_is_entered(present: Machine) -> None:
    (present.service / "models/config.json").write_text('{"model_config_list": []}')
    present.must(SETUP)
    config = json.loads((present.service / "models/config.json").read_text())
    assert config["model_config_list"] == [{"config": {"name": NAME, "base_path": NAME}}]


def test_a_killed_export_is_no_model_and_the_next_run_makes_it(machine: Machine) -> None:
    process = subprocess.Popen(
        machine.command(f"exec {SETUP}"),
        cwd=machine.service,
        env=machine.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "converting" in line:
            break
    os.killpg(process.pid, 9)
    process.wait()
    assert not machine.model.exists()
    machine.must(SETUP)
    assert (machine.model / WEIGHTS).exists()


def test_what_it_cannot_do_is_refused(machine: Machine) -> None:
    assert machine.run(f"{SETUP} --copy").status == 2
    assert "usage:" in machine.must(f"{SETUP} --help")
    wrong = machine.run(f"SOURCE_MODEL='no model' {SETUP}")
    assert wrong.status == 1
    assert "Traceback" not in wrong.output
