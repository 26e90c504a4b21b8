from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.node import lock as lock_module
from ovms_edge.node.lock import exclusive

HOLDER = """
import sys
from pathlib import Path
from ovms_edge.node.lock import exclusive
sys.argv = ["ovms-node", "stage", "vlm@1"]
with exclusive(Path(LOCK), 0):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "lock"


def holder(path: Path) -> subprocess.Popen[bytes]:
    source = str(Path(lock_module.__file__).parents[2])
    program = HOLDER.replace("LOCK", repr(str(path)))
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": source},
    )
    assert process.stdout
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_second_caller_is_told_who_holds_the_lock(path: Path) -> None:
    process = holder(path)
    with pytest.raises(EdgeError, match=rf"pid {process.pid}, 'stage vlm@1', since 20"), exclusive(path, 0.2):
        pass
    process.communicate()


def test_a_second_caller_waits_for_the_end_of_the_first(path: Path) -> None:
    process = holder(path)
    assert process.stdin
    process.stdin.close()
    with exclusive(path, 10):
        assert process.wait() == 0


def test_a_killed_holder_leaves_no_lock(path: Path) -> None:
    process = holder(path)
    process.kill()
    process.wait()
    with exclusive(path, 0):
        pass
