"""How role ``intel_gpu`` reboots hosts: Ansible's own order of things, on pretended hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDY = ("a", "b", "c")
WELL = "well"
PLAY = """
- hosts: all
  gather_facts: false
  connection: pretended
  tasks:
    - ovms.edge.node_facts:
    - ansible.builtin.include_role: {name: ovms.edge.intel_gpu, tasks_from: install}
      vars:
        __intel_gpu_plan: {refusal: null, lines: [], packages: [], boot_image: null, reboot: "{{ reasons }}"}
"""
# Each `down` and `back` in a file; the first host that goes down has no render node after it, if so asked.
CONNECTION = r'''
DOCUMENTATION = """
name: pretended
short_description: hosts that are pretended
description: See CONNECTION.
options:
  log: {description: see there, vars: [{name: log}]}
  first_fails: {description: see there, type: bool, vars: [{name: first_fails}]}
extends_documentation_fragment: [connection_pipelining]
"""
import json, shutil, subprocess, time
from pathlib import Path
from ansible.plugins.connection import ConnectionBase

class Connection(ConnectionBase):
    transport = "pretended"
    has_pipelining = True

    def _connect(self):
        return self

    def close(self):
        pass

    def put_file(self, in_path, out_path):
        shutil.copy(in_path, out_path)

    fetch_file = put_file

    def exec_command(self, cmd, in_data=None, sudoable=True):
        log, name = Path(self.get_option("log")), self._play_context.remote_addr
        lines = log.read_text().splitlines()
        if "ovms-node" in cmd:
            facts = {"ok": True, "schema": 2, "gpu": {"pci_address": "gpu"}, "disk": {"path": "/"}}
            return 0, json.dumps(facts).encode(), b""
        if "boot_id" in cmd:
            return 0, str(lines.count(f"down {name}")).encode(), b""
        if "/sbin/shutdown" in cmd:
            self._noted(log, f"down {name}")
            time.sleep(1)  # it boots: enough for others to go down, if they may
            return 0, b"", b""
        if "renderD" in cmd or cmd.endswith("true'"):
            if self.get_option("first_fails") and lines[0] == f"down {name}":
                return 1, b"", b""
            return self._noted(log, f"back {name}")
        done = subprocess.run(cmd, shell=True, input=in_data, capture_output=True)
        return done.returncode, done.stdout, done.stderr

    def _noted(self, log, line):
        with log.open("a") as stream:
            stream.write(line + "\n")
        return 0, b"", b""
'''
ANSWER = "#!/usr/bin/python3\nprint({!r})\n"
MODULES = {
    "setup": {
        "ansible_facts": {
            "ansible_distribution": "Debian",
            "ansible_distribution_version": "13",
            "ansible_os_family": "Debian",
        }
    },
    "find": {"files": [{"path": "/sbin/shutdown"}]},
}


@dataclass(frozen=True)
class Played:
    """``log``: what went down and came back, in this order; ``said``: how hosts failed."""

    log: list[str]
    said: dict[str, str]


Playing = Callable[..., Played]


@pytest.fixture
def played(tmp_path: Path) -> Playing:
    (tmp_path / "library").mkdir()
    for name, answer in MODULES.items():
        (tmp_path / f"library/{name}.py").write_text(ANSWER.format(json.dumps(answer)))
    (tmp_path / "connection_plugins").mkdir()
    (tmp_path / "connection_plugins/pretended.py").write_text(CONNECTION)
    (tmp_path / "play.yml").write_text(PLAY)
    log = tmp_path / "log"
    log.touch()

    def play(**variables: Any) -> Played:
        hosts = {name: {"reasons": ["a newer kernel is installed"]} for name in NEEDY} | {
            WELL: {"reasons": []}
        }
        common = {
            "ansible_python_interpreter": sys.executable,
            "ansible_pipelining": True,
            "intel_gpu_reboot": "when_needed",
            "intel_gpu_reboot_timeout_seconds": 1,
            "log": str(log),
            **variables,
        }
        (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": common}}))
        program = Path(sys.executable).with_name("ansible-playbook")
        done = subprocess.run(
            [program, "-i", tmp_path / "hosts.json", tmp_path / "play.yml"],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
            capture_output=True,
            text=True,
            check=False,
        )
        tasks = json.loads(done.stdout)["plays"][0]["tasks"]
        said = {
            host: result["msg"]
            for task in tasks
            for host, result in task["hosts"].items()
            if result.get("failed")
        }
        return Played(log.read_text().splitlines(), said)

    return play


def test_serially_a_host_goes_down_when_the_one_before_is_back(played: Playing) -> None:
    run = played(intel_gpu_reboot_serially=True)
    assert run.said == {}
    downs = [line.split()[1] for line in run.log[::2]]
    assert sorted(downs) == list(NEEDY)
    assert run.log == [f"{what} {host}" for host in downs for what in ("down", "back")]


def test_serially_none_goes_down_after_one_that_is_not_back(played: Playing) -> None:
    run = played(intel_gpu_reboot_serially=True, first_fails=True)
    (down,) = run.log
    lost = down.removeprefix("down ")
    assert set(run.said) == set(NEEDY)
    for host in set(NEEDY) - {lost}:
        assert run.said[host].startswith(f"{lost} did not come back from its reboot with its render node")
        assert f"{host} was not rebooted, which it needs (a newer kernel is installed)" in run.said[host]


def test_otherwise_all_go_down(played: Playing) -> None:
    run = played(first_fails=True)
    assert sorted(line for line in run.log if line.startswith("down")) == [f"down {host}" for host in NEEDY]
