"""What crosses the wire for an update, and the memory it takes, at the size for CI; figures in docs/."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.fault_store import ROOT

pytestmark = pytest.mark.lab


def test_updates_cost_what_changed() -> None:
    command = [sys.executable, "benchmarks/distribution.py", "--size", "100", "--ours"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for case in ("configuration", "five_percent", "inserted", "requantised", "fine_tuned"):
        assert f"- met: {case}: " in done.stdout, done.stdout
