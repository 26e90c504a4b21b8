"""Uploads that are cut off, at a registry that keeps what it got as the OCI distribution-spec has it."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.release.artifact import Blob
from ovms_edge.release.depot import Depot
from ovms_edge.release.publish import FileBody
from ovms_edge.release.transport import Transport
from ovms_edge.release.upload import UploadNote
from tests.loopback import serving

REF = ReleaseRef("vlm", "1")
DATA = random.Random(4).randbytes(6_000_000)  # noqa: S311
BLOB = Blob("x", f"sha256:{hashlib.sha256(DATA).hexdigest()}", len(DATA), "a.bin")
PIECE = 16 << 10


@dataclass
class Uploads:
    """``cuts``: bytes after which a PATCH loses its connection, one each; ``forgetful``: as 2.8 is."""

    url: str = ""
    cuts: list[int] = field(default_factory=list)
    forgetful: bool = False
    corrupts: bool = False
    open: dict[str, bytearray] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    received: int = 0
    begun: int = 0


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    state = Uploads()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(200 if self.path.rpartition("/")[2] in state.blobs else 404)

        def do_POST(self) -> None:
            state.begun += 1
            state.open[str(state.begun)] = bytearray()
            self.answer(202, Location=f"/v2/models/vlm/blobs/uploads/{state.begun}?_state=0")

        def do_GET(self) -> None:
            kept = state.open.get(self.number())
            if kept is None:
                return self.answer(404)
            return self.answer(204, Location=self.path, Range=f"0-{max(len(kept) - 1, 0)}")

        def do_PATCH(self) -> None:
            kept = state.open[self.number()]
            start, _, last = self.headers["Content-Range"].partition("-")
            left = int(self.headers["Content-Length"])
            assert left == int(last) - int(start) + 1
            if int(start) != len(kept):
                return self.answer(416)
            cut = state.cuts.pop(0) if state.cuts else left
            while left and cut > 0:
                piece = self.rfile.read(min(left, cut, PIECE))
                kept += piece
                left, cut = left - len(piece), cut - len(piece)
                state.received += len(piece)
            if left:
                if state.corrupts:
                    kept[0] ^= 1
                if state.forgetful:
                    del state.open[self.number()]
                self.close_connection = True
                return None
            return self.answer(202, Location=self.path, Range=f"0-{len(kept) - 1}")

        def do_PUT(self) -> None:
            data = bytes(state.open.pop(self.number()))
            digest = parse_qs(urlsplit(self.path).query)["digest"][0]
            if digest != f"sha256:{hashlib.sha256(data).hexdigest()}":
                return self.answer(400)
            state.blobs[digest] = data
            return self.answer(201)

        def number(self) -> str:
            return urlsplit(self.path).path.rpartition("/")[2]

        def answer(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

    with serving(Handler) as host:
        state.url = f"http://{host}"
        yield state


@pytest.fixture(autouse=True)
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transport, "pauses_seconds", (0.01, 0.01))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.bin"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return tmp_path / ".1.upload"


def push(uploads: Uploads, file: Path, note: Path) -> int:
    """Upload; returns the bytes that progress counted."""
    counts: list[int] = []
    depot = Depot(Transport(uploads.url, None, None))
    assert depot.push_file(REF, BLOB, FileBody(file, BLOB, counts.append), UploadNote(note))
    return sum(counts)


def test_an_upload_goes_on_where_its_connection_was_cut(uploads: Uploads, file: Path, note: Path) -> None:
    uploads.cuts = [2_500_000, 1_000_000]
    assert push(uploads, file, note) == len(DATA)
    assert uploads.blobs[BLOB.digest] == DATA
    assert (uploads.begun, uploads.received) == (1, len(DATA))


def test_cuts_that_let_bytes_across_are_no_failures(uploads: Uploads, file: Path, note: Path) -> None:
    uploads.cuts = [300_000] * 15
    push(uploads, file, note)
    assert (uploads.begun, uploads.received) == (1, len(DATA))


def test_a_registry_that_forgets_gets_it_from_the_start(uploads: Uploads, file: Path, note: Path) -> None:
    uploads.cuts, uploads.forgetful = [2_500_000], True
    assert push(uploads, file, note) == len(DATA)
    assert uploads.blobs[BLOB.digest] == DATA
    assert uploads.begun == 2


def test_what_a_registry_kept_wrong_is_sent_again(uploads: Uploads, file: Path, note: Path) -> None:
    uploads.cuts, uploads.corrupts = [2_500_000], True
    push(uploads, file, note)
    assert uploads.blobs[BLOB.digest] == DATA
    assert uploads.begun == 2


def test_nothing_across_is_given_up_and_gone_on_with_later(uploads: Uploads, file: Path, note: Path) -> None:
    """As for a publish that was killed: another process finds the note."""
    uploads.cuts = [2_500_000, 0, 0, 0, 0]
    with pytest.raises(EdgeError, match="does not answer"):
        push(uploads, file, note)
    uploads.cuts = []
    push(uploads, file, note)
    assert (uploads.begun, uploads.received) == (1, len(DATA))
    assert not note.exists()


@pytest.mark.parametrize("field_name", ["depot", "digest"])
def test_a_note_of_another_upload_is_left_alone(
    uploads: Uploads, file: Path, note: Path, field_name: str
) -> None:
    document = {"depot": uploads.url, "digest": BLOB.digest, "location": f"{uploads.url}/gone"}
    note.write_text(json.dumps({**document, field_name: "other"}))
    push(uploads, file, note)
    assert uploads.blobs[BLOB.digest] == DATA


def test_a_damaged_note_costs_a_new_start(uploads: Uploads, file: Path, note: Path) -> None:
    note.write_text("{")
    push(uploads, file, note)
    assert uploads.blobs[BLOB.digest] == DATA


def test_a_file_that_changed_in_between_is_not_gone_on_with(uploads: Uploads, file: Path, note: Path) -> None:
    uploads.cuts = [2_500_000, 0, 0, 0, 0]
    with pytest.raises(EdgeError):
        push(uploads, file, note)
    file.write_bytes(b"X" + DATA[1:])
    with pytest.raises(EdgeError, match="changed after the build"):
        push(uploads, file, note)
    assert not uploads.blobs
