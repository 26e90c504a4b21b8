"""What a diff predicts is what a stage fetches."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovms_edge.cli import main
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.depot import Depot
from ovms_edge.node.pace import Unhurried
from ovms_edge.node.stage import apply_stage
from ovms_edge.node.stage_plan import plan_stage
from ovms_edge.node.transfer import Transfer
from tests.unit.node_depot import FakeDepot, Model, Publisher, node_config, serve

DATA = random.Random(9).randbytes(300_000)  # noqa: S311  the same in every run
CUTS = list(range(0, 300_001, 20_000))
TEXT = b"".join(b"layer %d at %d " % (n, n * 7919) for n in range(2000))
BEFORE = Model({"a.json": b"{}" * 50, "w.bin": DATA, "w.xml": TEXT}, {"w.bin": CUTS}, ("w.xml",))
TUNED = bytes((byte + (n % 7 == 0)) % 256 for n, byte in enumerate(DATA))
SUCCESSORS = {
    "nothing": BEFORE,
    "text": Model({**BEFORE.files, "w.xml": TEXT[::-1]}, BEFORE.cuts, BEFORE.packed),
    "inserted": Model(
        {**BEFORE.files, "w.bin": b"n" * 5000 + DATA}, {"w.bin": [0, 5000, *(5000 + c for c in CUTS[1:])]}
    ),
    "tuned": Model({**BEFORE.files, "w.bin": TUNED}, BEFORE.cuts, BEFORE.packed, {"w.bin": DATA}),
    "other": Model({"w.bin": DATA[::-1], "new.txt": b"x" * 999}, BEFORE.cuts),
}


@pytest.fixture
def fake() -> Iterator[FakeDepot]:
    with serve(FakeDepot()) as depot:
        yield depot


def stage(config: NodeConfig, version: str) -> None:
    ref = ReleaseRef("vlm", version)
    with Transfer(config, ref) as transfer:
        source = Depot(config, transfer)
        plan = plan_stage(config, source, ref)
        apply_stage(config, source, plan, transfer)
        transfer.end(plan.document)


@pytest.mark.parametrize("name", SUCCESSORS)
def test_a_stage_fetches_what_the_diff_says(
    tmp_path: Path, fake: FakeDepot, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    publisher = Publisher(tmp_path / "publisher")
    BEFORE.publish(publisher, fake, "1")
    SUCCESSORS[name].publish(publisher, fake, "2")
    config = node_config(tmp_path / "node", fake, publisher)
    config.state_dir.mkdir()
    stage(config, "1")
    before = fake.sent_blob_bytes
    stage(config, "2")
    fetched = fake.sent_blob_bytes - before

    credentials = str(config.depot.credentials_file)
    depot = ["--depot", fake.url, "--credentials", credentials]
    assert main(["release", "diff", "vlm@1", "vlm@2", *depot, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fetch_bytes"] == pytest.approx(fetched, rel=0.01)
    assert main(["release", "diff", "vlm@1", "vlm@2", *depot]) == 0
    assert "vlm@1 -> vlm@2: " in capsys.readouterr().out
    assert plan_stage(config, Depot(config, Unhurried()), ReleaseRef("vlm", "2")).fetch_bytes == 0


def test_files_that_went_are_named(
    tmp_path: Path, fake: FakeDepot, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher = Publisher(tmp_path / "publisher")
    BEFORE.publish(publisher, fake, "1")
    SUCCESSORS["other"].publish(publisher, fake, "2")
    assert main(["release", "diff", "vlm@1", "vlm@2", "--depot", fake.url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("removed")] == ["a.json", "w.xml"]


def test_a_name_needs_a_depot(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", "diff", "vlm@1", "vlm@2"]) == 2
    assert "vlm@1 is in a depot" in capsys.readouterr().err
