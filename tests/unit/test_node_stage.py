"""Staging over real HTTP, with real signatures."""

from __future__ import annotations

import errno
import json
import lzma
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.chunks import ChunkIndex
from ovms_edge.errors import EdgeError
from ovms_edge.manifest import (
    CHUNKS_DIRECTORY,
    MANIFEST_FILE,
    SIGNATURE_FILE,
    Manifest,
    Memory,
    Packed,
    ReleaseRef,
)
from ovms_edge.node import stage_plan as stage_module
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.depot import Depot
from ovms_edge.node.pace import Unhurried
from ovms_edge.node.partial import PartialFile
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.releases import damaged_files, staged_release, staged_releases, verify_release
from ovms_edge.node.stage import apply_stage
from ovms_edge.node.stage_plan import StagePlan, plan_stage
from ovms_edge.node.transfer import Transfer
from ovms_edge.node.transfer_files import read_status
from tests.unit.node_depot import FakeDepot, Model, Publisher, manifest_of, node_config, serve, sha256

REF = ReleaseRef("vlm", "1.0.0")
FILES = {
    "a.bin": b"".join(sha256(bytes([n % 256, n // 256])).encode() for n in range(4688))[:300_000],
    "sub/b.xml": b"<net/>",
    "empty.txt": b"",
    "twin": b"<net/>",
}


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    return Publisher(tmp_path_factory.mktemp("keys") / "publisher")


@pytest.fixture
def fake(publisher: Publisher) -> Iterator[FakeDepot]:
    with serve(FakeDepot(auth="basic")) as depot:
        publisher.publish(depot, manifest_of(FILES), FILES)
        yield depot


@pytest.fixture
def config(tmp_path: Path, fake: FakeDepot, publisher: Publisher) -> NodeConfig:
    found = node_config(tmp_path / "node", fake, publisher)
    found.state_dir.mkdir()
    return found


A_BIN = next(file for file in manifest_of(FILES).files if file.path == "a.bin")


def plan(config: NodeConfig, ref: ReleaseRef = REF, **options: bool) -> StagePlan:
    return plan_stage(config, Depot(config, Unhurried()), ref, **options)


def stage(config: NodeConfig, ref: ReleaseRef = REF, **options: bool) -> bool:
    with Transfer(config, ref) as transfer:
        source = Depot(config, transfer)
        planned = plan_stage(config, source, ref, **options)
        apply_stage(config, source, planned, transfer)
        transfer.end(planned.document)
    return bool(planned.document["changed"])


def tree(config: NodeConfig, ref: ReleaseRef = REF) -> dict[str, bytes]:
    root = StatePaths(config.state_dir).release(ref)
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    found.pop(MANIFEST_FILE, None)
    found.pop(SIGNATURE_FILE, None)
    return {path: data for path, data in found.items() if not path.startswith(CHUNKS_DIRECTORY)}


def everything(config: NodeConfig) -> list[str]:
    return sorted(str(path.relative_to(config.state_dir)) for path in config.state_dir.rglob("*"))


def test_a_release_is_staged_whole_and_read_only(config: NodeConfig) -> None:
    assert stage(config)
    assert tree(config) == FILES
    root = StatePaths(config.state_dir).release(REF)
    modes = {oct(path.stat().st_mode & 0o777) for path in root.rglob("*") if path.is_file()}
    assert modes == {"0o444"}
    assert {oct(path.stat().st_mode & 0o777) for path in (root, root / "sub")} == {"0o555"}
    assert list((config.state_dir / "staging").iterdir()) == []
    staged = staged_release(StatePaths(config.state_dir), REF)
    assert staged
    verify_release(staged, config.trust)


def test_the_second_time_nothing_changes_and_no_file_is_fetched(config: NodeConfig, fake: FakeDepot) -> None:
    stage(config)
    before = fake.sent_blob_bytes
    assert not stage(config)
    overhead = sum(len(fake.blobs[digest]) for digest in fake.blobs) - sum(map(len, set(FILES.values())))
    assert fake.sent_blob_bytes - before == overhead


def test_planning_touches_nothing(config: NodeConfig) -> None:
    document = plan(config).document
    assert everything(config) == []
    assert document["changed"]
    assert document["diff"]["after"]["fetch_bytes"] == 300_000 + len(b"<net/>")


def test_files_of_other_releases_are_shared(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    stage(config)
    files = {**FILES, "sub/b.xml": b"<net2/>"}
    publisher.publish(fake, manifest_of(files, "2.0.0"), files)
    second = ReleaseRef("vlm", "2.0.0")
    assert plan(config, second).fetch_bytes == len(b"<net2/>")
    stage(config, second)
    assert tree(config, second) == files
    paths = StatePaths(config.state_dir)
    assert (paths.release(REF) / "a.bin").samefile(paths.release(second) / "a.bin")


def test_a_damaged_file_of_another_release_is_not_shared(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    stage(config)
    publisher.publish(fake, manifest_of(FILES, "2.0.0"), FILES)
    flip_byte(StatePaths(config.state_dir).release(REF) / "a.bin")
    stage(config, ReleaseRef("vlm", "2.0.0"))
    assert tree(config, ReleaseRef("vlm", "2.0.0")) == FILES


def flip_byte(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["a.bin", "sub/b.xml"])
def test_one_flipped_byte_in_the_depot_is_refused(config: NodeConfig, fake: FakeDepot, name: str) -> None:
    good = FILES[name]
    fake.blobs[sha256(good)] = bytes([good[0] ^ 1]) + good[1:]
    with pytest.raises(
        EdgeError, match=f"{name} of vlm@1.0.0: depot .* sends other bytes than were published"
    ):
        stage(config)
    assert tree(config) == {}
    fake.blobs[sha256(good)] = good
    stage(config)
    assert tree(config) == FILES


def test_a_flipped_byte_on_the_node_is_found_and_mended(config: NodeConfig) -> None:
    stage(config)
    paths = StatePaths(config.state_dir)
    flip_byte(paths.release(REF) / "a.bin")
    staged = staged_release(paths, REF)
    assert staged
    assert damaged_files(staged) == ["a.bin"]
    with pytest.raises(EdgeError, match=r"damaged: a\.bin; .*stage vlm@1\.0\.0 --verify"):
        verify_release(staged, config.trust)
    assert plan(config, read_every_byte=True).fetch_bytes == len(FILES["a.bin"])
    assert stage(config, read_every_byte=True)
    assert tree(config) == FILES


def test_a_cut_off_file_is_found_without_reading_everything(config: NodeConfig) -> None:
    stage(config)
    target = StatePaths(config.state_dir).release(REF) / "a.bin"
    target.chmod(0o644)
    os.truncate(target, 1000)
    assert stage(config)
    assert tree(config) == FILES


def test_a_partial_file_with_wrong_bytes_is_fetched_anew(config: NodeConfig) -> None:
    partial = plan(config).staging.part(A_BIN)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(100_000))
    stage(config)
    assert tree(config) == FILES


def refused(config: NodeConfig, fake: FakeDepot, reason: str) -> None:
    """Nothing but manifest and signature may have been asked for, and nothing written."""
    with pytest.raises(EdgeError, match=reason):
        stage(config)
    assert everything(config) == ["transfer.json"]
    assert read_status(StatePaths(config.state_dir))["state"] == "failed"
    content = {sha256(data) for data in FILES.values()}
    assert not [path for path, _ in fake.seen if path.rpartition(":")[2] in content]


def test_a_stranger_s_signature_is_refused(config: NodeConfig, fake: FakeDepot, tmp_path: Path) -> None:
    Publisher(tmp_path / "stranger").publish(fake, manifest_of(FILES), FILES)
    refused(config, fake, "signed by nobody in")


@pytest.mark.parametrize(
    "options", ['namespaces="file"', 'namespaces="ovms-edge-release",valid-before="20200101"']
)
def test_an_expired_key_or_one_for_other_things_is_refused(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher, options: str
) -> None:
    config.trust.allowed_signers.write_text(publisher.allowed(options))
    refused(config, fake, r"signed by nobody|does not hold")


def test_a_signature_of_another_manifest_is_refused(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = publisher.signature(manifest_of(FILES, "9.9.9").to_bytes())
    monkeypatch.setattr(publisher, "signature", lambda data: other)
    publisher.publish(fake, manifest_of(FILES), FILES)
    refused(config, fake, r"signature of vlm@1\.0\.0 does not hold")


def test_another_release_under_this_tag_is_refused(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    publisher.publish(fake, manifest_of(FILES, "0.9.0"), FILES, tag="1.0.0")
    refused(config, fake, r"the depot's vlm@1\.0\.0 holds vlm@0\.9\.0")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"graph": {"block_size": 32}}, "block_size is unknown to OVMS 2025.4.1"),
        ({"memory": Memory(10**13, 0)}, "memory too small"),
    ],
)
def test_a_release_that_cannot_serve_here_is_refused(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher, changes: dict[str, Any], reason: str
) -> None:
    publisher.publish(fake, manifest_of(FILES, **changes), FILES)
    refused(config, fake, reason)


def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(
    config: NodeConfig, fake: FakeDepot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_module, "free_bytes", lambda path: stage_module.DISK_RESERVE_BYTES + 299_999)
    refused(config, fake, r"no space on .*: 293\.0 KiB for vlm@1\.0\.0 and 1\.0 GiB in reserve needed")


def test_a_release_that_changed_under_its_version_is_refused(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    stage(config)
    publisher.publish(fake, manifest_of({"x": b"1"}), {"x": b"1"})
    with pytest.raises(EdgeError, match="releases never change"):
        stage(config)
    assert tree(config) == FILES


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize("data", [b"", b"\0" * 40, b'{"schema": "ovms-edge.release/1"}', b"\xff"])
def test_a_damaged_manifest_keeps_no_other_release_from_being_staged(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    stage(config)
    paths = StatePaths(config.state_dir)
    overwrite(paths.release(REF) / MANIFEST_FILE, data)
    publisher.publish(fake, manifest_of(FILES, "2.0.0"), FILES)
    assert stage(config, ReleaseRef("vlm", "2.0.0"))
    assert [str(staged.manifest.ref) for staged in staged_releases(paths)] == ["vlm@2.0.0"]
    assert "manifest.json is damaged" in capsys.readouterr().err
    with pytest.raises(EdgeError, match=r"damaged: .*; fetch it again with ovms-node stage vlm@1\.0\.0"):
        staged_release(paths, REF)


@pytest.mark.parametrize("name", [MANIFEST_FILE, SIGNATURE_FILE])
@pytest.mark.parametrize("how", ["zeros", "flipped", "gone"])
def test_a_damaged_manifest_or_signature_is_mended_without_fetching_the_files(
    config: NodeConfig, name: str, how: str
) -> None:
    stage(config)
    path = StatePaths(config.state_dir).release(REF) / name
    if how == "gone":
        path.parent.chmod(0o755)
        path.unlink()
    elif how == "zeros":
        overwrite(path, bytes(path.stat().st_size))
    else:
        flip_byte(path)
    assert plan(config).fetch_bytes == 0
    assert stage(config)
    assert tree(config) == FILES
    staged = staged_release(StatePaths(config.state_dir), REF)
    assert staged
    verify_release(staged, config.trust)
    assert not stage(config)


def test_a_manifest_here_that_nobody_trusted_signed_is_replaced(config: NodeConfig) -> None:
    stage(config)
    path = StatePaths(config.state_dir).release(REF) / MANIFEST_FILE
    overwrite(path, manifest_of({"x": b"1"}).to_bytes())
    assert stage(config)
    assert tree(config) == FILES


def test_what_was_staged_of_another_manifest_under_the_same_name_is_not_completed(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    other = {**FILES, "a.bin": FILES["a.bin"][::-1]}  # the same sizes
    publisher.publish(fake, manifest_of(other), other)
    tree_of_other = plan(config).staging.tree
    tree_of_other.mkdir(parents=True)
    (tree_of_other / "a.bin").write_bytes(other["a.bin"])
    publisher.publish(fake, manifest_of(FILES), FILES)
    assert stage(config)
    assert tree(config) == FILES
    assert list((config.state_dir / "staging").iterdir()) == []


def test_leftovers_of_staging_go_once_the_release_is_there(config: NodeConfig) -> None:
    stage(config)
    leftover = StatePaths(config.state_dir).staging(REF) / "0123456789ab" / "tree" / "a.bin"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    assert not stage(config)
    assert list((config.state_dir / "staging").rglob("*.bin")) == []


BIG = random.Random(3).randbytes(400_000)  # noqa: S311  the same in every run
CUTS = list(range(0, 400_001, 20_000))
TEXT = b"".join(b"layer %d offset %d " % (n, n * 7919) for n in range(1000))
OLD = Model({"w.bin": BIG, "w.xml": TEXT}, {"w.bin": CUTS}, ("w.xml",))


def staged_after(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher, new: Model
) -> tuple[StagePlan, int]:
    """Stage OLD, then ``new``; return its plan and the bytes that came but for manifest and signature."""
    OLD.publish(publisher, fake, "2.0.0")
    stage(config, ReleaseRef("vlm", "2.0.0"))
    manifest = new.publish(publisher, fake, "2.1.0")
    ref = ReleaseRef("vlm", "2.1.0")
    planned = plan(config, ref)
    before = fake.sent_blob_bytes
    assert stage(config, ref)
    assert tree(config, ref) == new.files
    signature = len(publisher.signature(manifest.to_bytes()))
    return planned, fake.sent_blob_bytes - before - len(manifest.to_bytes()) - signature


def ways(planned: StagePlan) -> dict[str, str]:
    return {file.file.path: file.how for file in planned.files}


def test_chunks_that_another_release_has_are_copied(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    data = b"inserted" * 1000 + BIG[:100_000] + b"x" + BIG[100_001:]
    cuts = [0, 8000, *(8000 + cut for cut in CUTS[1:])]
    planned, came = staged_after(
        config, fake, publisher, Model({"w.bin": data, "w.xml": TEXT}, {"w.bin": cuts})
    )
    index = len(ChunkIndex.of_blocks([b"x"] * (len(cuts) - 1)).to_bytes())
    assert came == planned.fetch_bytes == 8000 + 20_000 + index
    assert ways(planned) == {"w.bin": "fetch", "w.xml": "link"}
    assert planned.files[0].sums["copied"] == 380_000


def test_a_little_change_everywhere_comes_as_a_residual(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    data = bytes((byte + (n % 9 == 0)) % 256 for n, byte in enumerate(BIG))
    new = Model({"w.bin": data}, {"w.bin": CUTS}, bases={"w.bin": BIG})
    planned, came = staged_after(config, fake, publisher, new)
    assert ways(planned) == {"w.bin": "residual"}
    assert came == planned.fetch_bytes < 0.1 * len(data)


def test_a_damaged_base_costs_its_chunk_and_nothing_else(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    data = bytes((byte + 1) % 256 for byte in BIG)
    OLD.publish(publisher, fake, "2.0.0")
    stage(config, ReleaseRef("vlm", "2.0.0"))
    flip_byte(StatePaths(config.state_dir).release(ReleaseRef("vlm", "2.0.0")) / "w.bin")
    new = Model({"w.bin": data}, {"w.bin": CUTS}, bases={"w.bin": BIG})
    new.publish(publisher, fake, "2.1.0")
    before = fake.sent_blob_bytes
    stage(config, ReleaseRef("vlm", "2.1.0"))
    assert tree(config, ReleaseRef("vlm", "2.1.0")) == new.files
    assert 20_000 < fake.sent_blob_bytes - before < 30_000


def test_text_comes_compressed(config: NodeConfig, fake: FakeDepot, publisher: Publisher) -> None:
    new = Model({"w.bin": BIG, "w.xml": TEXT[::-1]}, {"w.bin": CUTS}, ("w.xml",))
    planned, came = staged_after(config, fake, publisher, new)
    assert ways(planned) == {"w.bin": "link", "w.xml": "packed"}
    assert came == planned.fetch_bytes < 0.2 * len(TEXT)


def test_what_is_packed_but_is_not_the_file_is_refused(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    manifest, further = OLD.manifest("2.0.0")
    wrong = lzma.compress(TEXT[::-1])
    files = tuple(
        replace(file, packed=Packed(sha256(wrong), len(wrong))) if file.packed else file
        for file in manifest.files
    )
    publisher.publish(fake, replace(manifest, files=files), OLD.files, further=[*further, wrong])
    with pytest.raises(
        EdgeError, match=r"w\.xml of vlm@2\.0\.0, put together from verified parts, does not have the sha256"
    ):
        stage(config, ReleaseRef("vlm", "2.0.0"))
    assert tree(config, ReleaseRef("vlm", "2.0.0")) == {}


def test_a_flipped_byte_in_a_chunked_file_costs_one_chunk(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    OLD.publish(publisher, fake, "2.0.0")
    ref = ReleaseRef("vlm", "2.0.0")
    stage(config, ref)
    flip_byte(StatePaths(config.state_dir).release(ref) / "w.bin")
    before = fake.sent_blob_bytes
    assert stage(config, ref, read_every_byte=True)
    assert tree(config, ref) == OLD.files
    assert fake.sent_blob_bytes - before < 23_000


def test_a_full_disk_in_the_middle_keeps_what_is_there(
    config: NodeConfig, fake: FakeDepot, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    OLD.publish(publisher, fake, "2.0.0")
    ref = ReleaseRef("vlm", "2.0.0")
    put = PartialFile.write
    room = [10 * 20_000]

    def write(self: PartialFile, data: bytes, offset: int) -> None:
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(self, data, offset)

    monkeypatch.setattr(PartialFile, "write", write)
    with pytest.raises(OSError, match="No space left"):
        stage(config, ref)
    assert tree(config, ref) == {}
    status = read_status(StatePaths(config.state_dir))
    assert (status["state"], status["reason"]) == ("failed", "No space left on device")
    room[0] = 10**9
    before = fake.sent_blob_bytes
    assert stage(config, ref)
    assert tree(config, ref) == OLD.files
    assert fake.sent_blob_bytes - before < 220_000 + len(TEXT)


KILLED = """
import sys
from pathlib import Path
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.config import DepotServer, NodeConfig, Trust
from ovms_edge.node.depot import Depot
from ovms_edge.node.stage import apply_stage
from ovms_edge.node.stage_plan import plan_stage
from ovms_edge.node.transfer import Transfer
state, url, credentials, signers = sys.argv[1:]
server = DepotServer(url, None, Path(credentials))
config = NodeConfig(Path(state), Path("/sys"), server, Trust(Path(signers)))
with Transfer(config, ReleaseRef("vlm", "2.0.0")) as transfer:
    source = Depot(config, transfer)
    apply_stage(config, source, plan_stage(config, source, ReleaseRef("vlm", "2.0.0")), transfer)
"""


def test_killed_anywhere_the_release_is_absent_or_whole_and_the_next_call_goes_on(
    tmp_path: Path, config: NodeConfig, fake: FakeDepot, publisher: Publisher
) -> None:
    OLD.publish(publisher, fake, "2.0.0")
    ref = ReleaseRef("vlm", "2.0.0")
    script = tmp_path / "stage.py"
    script.write_text(KILLED)
    command = [
        sys.executable, str(script), str(config.state_dir), config.depot.url,
        str(config.depot.credentials_file), str(config.trust.allowed_signers),
    ]  # fmt: skip
    source = str(Path(stage_module.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": source}
    fake.bytes_a_second = 200_000
    moments = random.Random(7)  # noqa: S311  reproducible moments
    kills = 0
    for _ in range(12):
        process = subprocess.Popen(command, env=environment)
        time.sleep(moments.uniform(0.3, 0.9))  # the moment of the kill, not a wait for a state
        process.kill()
        kills += process.wait() != 0
        assert tree(config, ref) in ({}, OLD.files)
        if tree(config, ref):
            break
    assert read_status(StatePaths(config.state_dir))["state"] in ("interrupted", "done")
    fake.bytes_a_second = 0
    subprocess.run(command, env=environment, check=True)
    assert kills >= 2
    assert tree(config, ref) == OLD.files
    # at most a chunk per connection is fetched again after each kill, and what describes the release
    description = 6_000
    assert fake.sent_blob_bytes < 400_000 + len(TEXT) + kills * (4 * 20_000 + description)


def test_a_manifest_is_what_was_signed(config: NodeConfig) -> None:
    stage(config)
    staged = staged_release(StatePaths(config.state_dir), REF)
    assert staged
    assert Manifest.from_bytes(staged.manifest_bytes) == manifest_of(FILES)
    assert json.loads((config.state_dir / "journal.jsonl").read_text())["event"] == "staged"
