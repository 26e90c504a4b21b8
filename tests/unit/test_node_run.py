"""The run: its id in log lines, in the journal and in the answer."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovms_edge.errors import UsageError
from ovms_edge.node import cli, journald
from ovms_edge.node.cli import main
from ovms_edge.node.journald import Journal, stderr_is_journal
from ovms_edge.node.output import also_logged, log
from ovms_edge.node.run import VARIABLE, begin_run, run_id


@pytest.fixture(autouse=True)
def no_run_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)


class FakeJournald:
    """The socket of journald, read by the protocol's rules."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))

    def close(self) -> None:
        self._socket.close()

    def entries(self) -> list[dict[str, str]]:
        found = []
        while True:
            try:
                found.append(fields(self._socket.recv(1 << 20)))
            except BlockingIOError:
                return found


def fields(data: bytes) -> dict[str, str]:
    found = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, sign, value = line.partition(b"=")
        if not sign:
            (length,) = struct.unpack_from("<Q", rest)
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        found[name.decode()] = value.decode()
        data = rest
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[FakeJournald]:
    fake = FakeJournald(tmp_path / "socket")
    yield fake
    fake.close()


def test_a_run_has_a_random_id_that_stays() -> None:
    begin_run(None)
    assert re.fullmatch("[0-9a-f]{8}", run_id())
    assert run_id() == run_id() == os.environ[VARIABLE]


@pytest.mark.parametrize("given", ["a", "rollout-17_store.001", "x" * 64])
def test_an_id_is_taken_from_the_call_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv(VARIABLE, given)
    begin_run(None)
    assert run_id() == given
    begin_run("from-the-call")
    assert run_id() == "from-the-call"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\nb", "ä", "a/b"])
def test_an_id_that_nobody_could_search_for_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match=r"--run-id is .*; give 1 to 64 letters") as caught:
        begin_run(given)
    assert repr(given) in caught.value.reason
    assert re.fullmatch("[0-9a-f]{8}", run_id())


def test_a_wrong_id_in_the_environment_is_named_and_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "a b")
    with pytest.raises(UsageError, match=f"{VARIABLE} is 'a b'"):
        begin_run(None)
    assert re.fullmatch("[0-9a-f]{8}", run_id())


def test_a_line_reaches_the_journal_with_its_fields(journal: FakeJournald) -> None:
    assert Journal("r1", "activate", journal.path)("stopping it", 6)
    assert journal.entries() == [
        {
            "MESSAGE": "stopping it",
            "PRIORITY": "6",
            "SYSLOG_IDENTIFIER": "ovms-node",
            "OVMS_EDGE_RUN": "r1",
            "OVMS_EDGE_COMMAND": "activate",
        }
    ]


@pytest.mark.parametrize("message", ["two\nlines", "a=b", "", "ümläut", "\n", "x" * 100_000])
def test_any_message_arrives_as_one_field(journal: FakeJournald, message: str) -> None:
    assert Journal("r1", "tend", journal.path)(message, 6)
    (entry,) = journal.entries()
    assert entry["MESSAGE"] == message[: 48 * 1024]
    assert entry["OVMS_EDGE_RUN"] == "r1"


def test_no_journal_is_no_error(tmp_path: Path) -> None:
    assert not Journal("r1", "tend", tmp_path / "socket")("x", 6)


def test_a_journal_that_hangs_keeps_nobody_waiting(journal: FakeJournald) -> None:
    to_it = Journal("r1", "tend", journal.path)
    assert not all(to_it("x", 6) for _ in range(10_000))


def test_a_line_goes_to_standard_error_too(journal: FakeJournald, capsys: pytest.CaptureFixture[str]) -> None:
    with also_logged(Journal("r1", "stage", journal.path), instead=False):
        log("one")
        log("two", failure=True)
    log("three")
    assert capsys.readouterr().err == "one\ntwo\nthree\n"
    assert [(entry["MESSAGE"], entry["PRIORITY"]) for entry in journal.entries()] == [
        ("one", "6"),
        ("two", "3"),
    ]


def test_a_line_is_not_in_the_journal_twice(
    journal: FakeJournald, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with also_logged(Journal("r1", "tend", journal.path), instead=True):
        log("one")
    assert capsys.readouterr().err == ""
    assert len(journal.entries()) == 1
    with also_logged(Journal("r1", "tend", tmp_path / "gone"), instead=True):
        log("two")
    assert capsys.readouterr().err == "two\n"


def test_standard_error_is_the_journal_if_systemd_says_so_of_this_very_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not stderr_is_journal()
    stderr = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{stderr.st_dev}:{stderr.st_ino}")
    assert stderr_is_journal()
    monkeypatch.setenv("JOURNAL_STREAM", f"{stderr.st_dev}:{stderr.st_ino + 1}")
    assert not stderr_is_journal()


@pytest.fixture
def logged(journal: FakeJournald, monkeypatch: pytest.MonkeyPatch) -> FakeJournald:
    """Calls of ``main`` write to this journal."""
    monkeypatch.setattr(journald.Journal.__init__, "__defaults__", (journal.path,))
    return journal


def test_an_answer_says_its_run(capsys: pytest.CaptureFixture[str], logged: FakeJournald) -> None:
    assert main(["facts", "--json", "--run-id", "r7"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "r7"


def test_a_refusal_is_in_the_journal_as_an_error(
    capsys: pytest.CaptureFixture[str], logged: FakeJournald, tmp_path: Path
) -> None:
    call = ["status", "--json", "--run-id", "r7", "--node-config", str(tmp_path / "none.json")]
    assert main(call) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["run"]) == (False, "r7")
    (entry,) = logged.entries()
    assert entry["PRIORITY"] == "3"
    assert (entry["OVMS_EDGE_RUN"], entry["OVMS_EDGE_COMMAND"]) == ("r7", "status")
    assert entry["MESSAGE"] == f"ovms-node: {document['reason']}; {document['remedy']}"


def test_an_answer_that_says_no_is_in_the_journal_as_an_error(
    capsys: pytest.CaptureFixture[str], logged: FakeJournald
) -> None:
    document = {"ok": False, "reason": "no answer", "remedy": "look"}
    options = argparse.Namespace(run=lambda _: document, text=lambda _: "no", json=True)
    with also_logged(Journal("r7", "verify", logged.path), instead=False):
        assert cli._run(options) == 1
    assert [(entry["MESSAGE"], entry["PRIORITY"]) for entry in logged.entries()] == [
        ("ovms-node: no answer; look", "3")
    ]


def test_a_wrong_run_id_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["facts", "--json", "--run-id", "a b"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["reason"] == "--run-id is 'a b'"
    assert re.fullmatch("[0-9a-f]{8}", document["run"])
