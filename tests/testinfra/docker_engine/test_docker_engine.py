"""Docker Engine as role ``docker_engine`` leaves it, asked on the host itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host

from tests.testinfra.paths import FILES, Wanted, assert_owner_and_mode

pytestmark = pytest.mark.lab

# Used where --hosts names no others.
testinfra_hosts = ["ansible://stores?force_ansible=True&sudo=True"]

Evidence = dict[str, Any]

# One program and one call; standard library only (3.10+).
COLLECT = """\
import http.client, json, pathlib, socket, subprocess

def said(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False).stdout.split()

connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("/run/docker.sock")
connection.request("GET", "/info")
packages = ("docker.io", "docker-cli", "docker-ce", "docker-ce-cli", "containerd.io")
states = dict(line.split() for line in subprocess.run(
    ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Abbrev}\\n", *packages],
    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
).stdout.splitlines())
print("\\n" + json.dumps({
    "info": json.loads(connection.getresponse().read()),
    "daemon": json.loads(pathlib.Path("/etc/docker/daemon.json").read_text()),
    "enabled": said("systemctl", "is-enabled", "docker.service"),
    "active": said("systemctl", "is-active", "docker.service"),
    "journal": subprocess.run(
        ["journalctl", "--unit=docker.service", "--lines=30", "--no-pager"],
        stdout=subprocess.PIPE, text=True, check=False,
    ).stdout,
    "packages": {name: state for name, state in states.items() if state[1:2] == "i"},
}))
"""


@pytest.fixture(scope="module")
def engine(host: Host) -> Evidence:
    done = host.run("python3 -c %s", COLLECT)
    assert done.succeeded, f"{host.backend.hostname}: {done.stderr}\n{done.stdout}"
    found: Evidence = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_it_starts_with_the_host_and_runs(engine: Evidence) -> None:
    assert (engine["enabled"], engine["active"]) == (["enabled"], ["active"]), engine["journal"]


@pytest.mark.parametrize(("setting", "value"), [
    ("LiveRestoreEnabled", True),
    ("LoggingDriver", "json-file"),
    ("Driver", "overlay2"),
])  # fmt: skip
def test_it_runs_with(engine: Evidence, setting: str, value: object) -> None:
    assert engine["info"][setting] == value, engine["journal"]


def test_the_file_system_below_has_d_type(engine: Evidence) -> None:
    assert dict(engine["info"]["DriverStatus"])["Supports d_type"] == "true"


def test_it_is_one_that_the_node_tool_can_speak_to(engine: Evidence) -> None:
    major, minor = engine["info"]["ServerVersion"].split(".")[:2]
    assert (int(major), int(minor)) >= (20, 10)


@pytest.mark.parametrize("option", ["max-size", "max-file"])
def test_logs_of_new_containers_are_limited(engine: Evidence, option: str) -> None:
    assert engine["daemon"]["log-opts"][option]


@pytest.mark.parametrize(("path", "wanted"), FILES["docker_engine"].items())
def test_file_has_its_owner_and_mode(evidence: Evidence, path: str, wanted: Wanted) -> None:
    assert_owner_and_mode(evidence, path, wanted)


def test_its_packages_are_whole_and_held(engine: Evidence) -> None:
    assert engine["packages"]
    assert set(engine["packages"].values()) == {"hi"}
