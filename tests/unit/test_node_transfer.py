"""Rates, schedules, pauses and what a transfer says of itself."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.bucket import Bucket
from ovms_edge.node.cli import main
from ovms_edge.node.config import DepotServer, NodeConfig, TransferSettings, Trust
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.patience import Silence
from ovms_edge.node.rate import Schedule, parse_schedule
from ovms_edge.node.source import GaveUpError
from ovms_edge.node.transfer import Transfer
from ovms_edge.node.transfer_files import (
    Control,
    closed_reason,
    load_control,
    process_identity,
    read_status,
    save_control,
)

REF = ReleaseRef("vlm", "1.0.0")


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    return NodeConfig(tmp_path, Path("/sys"), DepotServer("http://127.0.0.1:9"), Trust(tmp_path / "signers"))


@pytest.fixture
def paths(config: NodeConfig) -> StatePaths:
    return StatePaths(config.state_dir)


@pytest.mark.parametrize("rate", [1_000, 8_000, 1_250_000, 125_000_000])
def test_a_bucket_lets_through_its_rate_and_no_more(rate: int) -> None:
    bucket, now, passed = Bucket(rate), 0.0, 0
    while now < 20:
        granted = bucket.grant(256 << 10, now)
        passed += granted
        if not granted:
            now += bucket.seconds_until(256 << 10)
    assert passed == pytest.approx(20 * rate, rel=0.02, abs=2048)


def test_a_bucket_does_not_save_up_what_was_not_used() -> None:
    bucket = Bucket(1_000_000)
    assert sum(bucket.grant(256 << 10, 3600.0) for _ in range(10)) <= 100_000


def limited(config: NodeConfig, rate: int | None) -> NodeConfig:
    return replace(config, transfer=TransferSettings(Schedule(rate)))


def test_the_rate_holds_over_all_threads(config: NodeConfig) -> None:
    end = time.monotonic() + 1.0
    taken: list[int] = []

    def reads() -> None:
        while time.monotonic() < end:
            taken.append(transfer.take(64 << 10))

    with Transfer(limited(config, 400_000), REF) as transfer:
        threads = [threading.Thread(target=reads) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        transfer.end({"ok": True})
    assert 300_000 < sum(taken) < 500_000


def test_a_pause_holds_within_a_second_until_it_is_resumed(config: NodeConfig, paths: StatePaths) -> None:
    with Transfer(config, REF) as transfer:
        transfer.begin(1000, 1000)
        assert transfer.take(100) == 100
        save_control(paths, Control(paused=True))
        time.sleep(0.6)  # the time within which it has to be seen
        granted = threading.Event()
        threading.Thread(target=lambda: (transfer.take(100), granted.set()), daemon=True).start()
        assert not granted.wait(0.3)
        deadline = time.monotonic() + 3
        while read_status(paths)["state"] != "paused":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        save_control(paths, Control())
        assert granted.wait(1.0)
        transfer.end({"ok": True})


def test_a_rate_told_from_outside_wins_over_the_schedule(config: NodeConfig, paths: StatePaths) -> None:
    save_control(paths, Control(rate="8Mbit"))
    with Transfer(limited(config, 10), REF) as transfer:
        transfer.end({"ok": True})
    assert read_status(paths)["rate"] == 1_000_000


def test_a_closed_window_is_waited_out_and_said(config: NodeConfig, paths: StatePaths) -> None:
    with Transfer(limited(config, 0), REF) as transfer:
        transfer.begin(10, 10)
        threading.Thread(target=transfer.take, args=(10,), daemon=True).start()
        deadline = time.monotonic() + 3
        while (status := read_status(paths))["state"] != "waiting":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert status["reason"] == "closed by the schedule at all times"
        save_control(paths, Control(rate="unlimited"))
        deadline = time.monotonic() + 3
        while read_status(paths)["state"] == "waiting":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        transfer.end({"ok": True})


def test_the_week_s_windows_are_in_local_time() -> None:
    windows = [{"days": "fri", "from": "22:00", "to": "06:00", "rate": "80Mbit"}]
    schedule = parse_schedule("8Mbit", windows)
    friday = datetime.fromisoformat("2026-11-27T23:00:00").astimezone()
    assert schedule.rate_at(friday) == 10_000_000
    assert schedule.rate_at(datetime.fromisoformat("2026-11-28T05:59:00").astimezone()) == 10_000_000
    assert schedule.rate_at(datetime.fromisoformat("2026-11-28T06:00:00").astimezone()) == 1_000_000


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (EdgeError("no", "do"), "failed"),
        (GaveUpError("silence", "again"), "gave_up"),
        (OSError(28, "full"), "failed"),
    ],
)
def test_an_end_says_why(config: NodeConfig, paths: StatePaths, error: Exception, state: str) -> None:
    with pytest.raises(type(error)), Transfer(config, REF):
        raise error
    status = read_status(paths)
    assert status["state"] == state
    assert status["result"]["reason"] == status["reason"] in ("no", "silence", "full")


def test_a_transfer_whose_process_is_gone_was_interrupted(config: NodeConfig, paths: StatePaths) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from ovms_edge.manifest import ReleaseRef\n"
        "from ovms_edge.node.config import DepotServer, NodeConfig, Trust\n"
        "from ovms_edge.node.transfer import Transfer\n"
        "server = DepotServer('http://127.0.0.1:9')\n"
        "config = NodeConfig(Path(sys.argv[1]), Path('/sys'), server, Trust(Path('x')))\n"
        "with Transfer(config, ReleaseRef('vlm', '1.0.0')):\n"
        "    print('begun', flush=True)\n    time.sleep(60)\n"
    )
    source = str(Path(__file__).parents[2] / "src")
    command = [sys.executable, "-c", program, str(paths.root)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": source}
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"begun\n"
        assert read_status(paths)["state"] == "planning"
        process.kill()
    status = read_status(paths)
    assert (status["state"], status["remedy"]) == ("interrupted", "go on with ovms-node stage vlm@1.0.0")


def test_a_process_is_told_from_a_later_one_with_its_number() -> None:
    assert process_identity(os.getpid()) == process_identity(os.getpid())
    assert process_identity(1) != process_identity(os.getpid())
    assert process_identity(2**22 + 1) is None
    assert process_identity(None) is None


def test_controls_are_kept_and_damage_is_named(paths: StatePaths) -> None:
    assert load_control(paths) == Control()
    save_control(paths, Control(True, "10Mbit"))
    assert load_control(paths) == Control(True, "10Mbit")
    paths.transfer_control.write_text("{")
    with pytest.raises(EdgeError, match=r"transfer-control\.json is damaged"):
        load_control(paths)


@pytest.fixture
def node_json(tmp_path: Path) -> str:
    path = tmp_path / "node.json"
    depot = {"url": "http://127.0.0.1:9"}
    path.write_text(json.dumps({"schema": 1, "state_dir": str(tmp_path / "state"), "depot": depot}))
    return f"--node-config={path}"


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main([*arguments, "--json"]) == 0
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return document


def test_commands_tell_and_show(node_json: str, capsys: pytest.CaptureFixture[str]) -> None:
    idle = called(capsys, "transfer", "status", node_json)
    assert {**idle, "run": None} == {"ok": True, "state": "idle", "run": None}
    paused = called(capsys, "transfer", "pause", node_json)
    assert (paused["changed"], paused["paused"]) == (True, True)
    assert called(capsys, "transfer", "pause", node_json)["changed"] is False
    assert called(capsys, "transfer", "rate", "5Mbit", node_json)["rate"] == "5Mbit"
    resumed = called(capsys, "transfer", "resume", node_json)
    assert (resumed["paused"], resumed["rate"]) == (False, "5Mbit")
    assert called(capsys, "transfer", "rate", "schedule", node_json)["rate"] == "schedule"


def test_a_rate_that_is_none_is_refused(node_json: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["transfer", "rate", "fast", node_json]) == 2
    assert "write a number and kbit, Mbit or Gbit" in capsys.readouterr().err
    with pytest.raises(UsageError):
        parse_schedule("fast", [])


NIGHTS = [{"days": "mon-fri", "from": "22:00", "to": "06:00", "rate": "80Mbit"}]


@pytest.mark.parametrize(("moment", "change"), [
    ("2026-11-23T12:00", "2026-11-23T22:00"),
    ("2026-11-23T22:00", "2026-11-24T06:00"),
    ("2026-11-28T05:59", "2026-11-28T06:00"),  # Friday's window ends on Saturday
    ("2026-11-28T06:00", "2026-11-30T22:00"),  # and the next opens on Monday
])  # fmt: skip
def test_the_next_change_is_where_another_rate_begins(moment: str, change: str) -> None:
    schedule = parse_schedule("0", NIGHTS)
    assert schedule.next_change(datetime.fromisoformat(moment)) == datetime.fromisoformat(change)


def test_the_next_change_is_the_first_minute_of_another_rate_at_any_time() -> None:
    windows = [
        {"days": "sat,sun", "from": "00:00", "to": "24:00", "rate": None},
        {"days": "mon-thu", "from": "20:30", "to": "23:15", "rate": "1Mbit"},
        {"days": "tue", "from": "23:15", "to": "07:00", "rate": "1Mbit"},
        {"from": "12:00", "to": "13:00", "rate": "0"},
    ]
    schedule, minute = parse_schedule("10Mbit", windows), timedelta(minutes=1)
    week = [datetime(2026, 11, 23) + step * minute for step in range(7 * 24 * 60)]  # noqa: DTZ001  wall clock
    changes = [
        now for now, next_ in itertools.pairwise(week) if schedule.rate_at(now) != schedule.rate_at(next_)
    ]
    assert len(changes) == 19
    for moment, following in itertools.pairwise(changes):
        assert schedule.next_change(moment + minute) == following + minute


def test_a_rate_without_windows_never_changes() -> None:
    assert Schedule(1000).next_change(datetime.fromisoformat("2026-11-23T12:00")) is None


@pytest.mark.parametrize(("utc", "open_"), [
    ("2026-10-24T20:00+00:00", True),  # 22:00 of summer time
    ("2026-10-24T19:59+00:00", False),
    ("2026-10-25T21:00+00:00", True),  # 22:00 of standard time, a day later
    ("2026-10-25T20:59+00:00", False),
    ("2026-03-29T01:30+00:00", True),  # the night that has no 02:30
])  # fmt: skip
def test_a_window_is_of_the_wall_clock_over_the_change_to_and_from_summer_time(utc: str, open_: bool) -> None:
    schedule = parse_schedule("0", [{"from": "22:00", "to": "06:00", "rate": "8Mbit"}])
    local = datetime.fromisoformat(utc).astimezone(ZoneInfo("Europe/Berlin"))
    assert schedule.rate_at(local) == (1_000_000 if open_ else 0)


def test_why_nothing_may_come_is_said() -> None:
    noon, schedule = datetime.fromisoformat("2026-11-23T12:00"), parse_schedule("0", NIGHTS)
    assert closed_reason(Control(), schedule, noon) == "closed by the schedule until Mon 22:00"
    assert "transfer rate sets another" in closed_reason(Control(rate="0"), schedule, noon)


@pytest.mark.parametrize(("rate", "control"), [(0, Control()), (None, Control(paused=True))])
def test_a_request_waits_too_while_nothing_may_come(
    config: NodeConfig, paths: StatePaths, rate: int | None, control: Control
) -> None:
    save_control(paths, control)
    with Transfer(limited(config, rate), REF) as transfer:
        asked = threading.Event()
        threading.Thread(target=lambda: (transfer.wait(0, ""), asked.set()), daemon=True).start()
        assert not asked.wait(0.3)
        save_control(paths, Control(rate="unlimited"))
        assert asked.wait(1.0)
        transfer.end({"ok": True})


def test_a_stage_that_starts_paused_says_so(
    config: NodeConfig, paths: StatePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    save_control(paths, Control(paused=True))
    with Transfer(config, REF) as transfer:
        assert read_status(paths)["state"] == "paused"
        transfer.end({"ok": True})
    assert "nothing is fetched until ovms-node transfer resume" in capsys.readouterr().err


def test_a_damaged_control_is_named_once_and_changes_nothing(
    config: NodeConfig, paths: StatePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    save_control(paths, Control(paused=True))
    with Transfer(config, REF) as transfer:
        paths.transfer_control.write_text("{")
        granted = threading.Event()
        threading.Thread(target=lambda: (transfer.take(1), granted.set()), daemon=True).start()
        assert not granted.wait(1.0)  # long enough to look twice
        transfer.end({"ok": True})
    assert capsys.readouterr().err.count("is damaged") == 1


def test_a_watcher_without_rights_may_read_the_status(config: NodeConfig, paths: StatePaths) -> None:
    before = os.umask(0o077)
    try:
        with Transfer(config, REF) as transfer:
            assert paths.transfer.stat().st_mode & 0o777 == 0o644
            transfer.end({"ok": True})
    finally:
        os.umask(before)
    assert paths.transfer.stat().st_mode & 0o777 == 0o644


def test_patience_outlasts_a_pause_but_not_by_its_length_for_each_connection() -> None:
    silence = Silence(limit_seconds=0.2)
    assert not silence.too_long()
    for _ in range(4):
        silence.forgive(3600)
    assert not silence.too_long()
    time.sleep(0.25)
    assert silence.too_long()
