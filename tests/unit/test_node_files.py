from __future__ import annotations

from pathlib import Path

import pytest

from ovms_edge.node.failures import edge_error
from ovms_edge.node.files import write_atomic
from ovms_edge.node.lock import exclusive
from ovms_edge.node.state import record

FULL = Path("/dev/full")  # every write fails with ENOSPC


def test_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    (tmp_path / ".state.json.new").symlink_to(FULL)
    with pytest.raises(OSError, match="No space left on device") as raised:
        write_atomic(path, b"new", 0o600)
    assert edge_error(raised.value).reason == f"No space left on device: {path}"


def test_full_disk_is_told_with_the_journal() -> None:
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        record(FULL, "event")


def test_lock_needs_no_space() -> None:
    with exclusive(FULL, 0):
        pass
