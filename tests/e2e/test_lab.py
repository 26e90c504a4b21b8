"""A store of the lab is a host: its door, its differences, its reboot, its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / ".lab"
NAME = os.environ.get("OVMS_LAB_NAME", "ovms-lab")
GIB = 1024 * 1024  # in the kB of /proc/meminfo


def lab(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "lab" / "lab", *words], capture_output=True, text=True, check=False
    )


def done(*words: str) -> str:
    result = lab(*words)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@dataclass(frozen=True)
class Made:
    name: str
    debian: str
    memory_gib: int
    render_gid: int
    inventory: Path

    @property
    def address(self) -> str:
        hosts = yaml.safe_load((self.inventory / "hosts.yml").read_text())
        return str(hosts["stores"]["hosts"][self.name]["ansible_host"])

    def sh(self, command: str) -> str:
        return done("ssh", self.name, command).strip()

    def pinned(self) -> list[str]:
        """Return its lines of known_hosts: the others are of stores that come and go."""
        lines = (LAB / "ssh" / "known_hosts").read_text().splitlines()
        return [line for line in lines if line.startswith(f"{self.address} ")]

    def boot_time(self) -> str:
        return self.sh("systemctl show --property=UserspaceTimestampMonotonic --value")


@pytest.fixture(scope="module", params=[("12", 24, 321), ("13", 48, 654)], ids=["debian-12", "debian-13"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    debian, memory_gib, render_gid = request.param
    store = Made(f"labtest-{debian}", debian, memory_gib, render_gid, tmp_path_factory.mktemp("inventory"))
    lab("remove", store.name)  # of a run that was cut off
    done(
        *("add", store.name, "--debian", debian, "--memory-gib", str(memory_gib)),
        *("--render-gid", str(render_gid), "--inventory", str(store.inventory)),
    )
    yield store
    done("remove", store.name)


def ssh(made: Made, user: str, known_hosts: Path) -> subprocess.CompletedProcess[str]:
    options = [f"UserKnownHostsFile={known_hosts}", "GlobalKnownHostsFile=/dev/null", "BatchMode=yes"]
    options += ["StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "ControlPath=none"]
    words = [word for option in options for word in ("-o", option)]
    return subprocess.run(
        ["ssh", "-i", LAB / "ssh" / "id_ed25519", *words, f"{user}@{made.address}", "id -un"],
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_runs_the_debian_that_was_asked_for(made: Made) -> None:
    assert made.sh(". /etc/os-release; echo $VERSION_ID") == made.debian


def test_the_user_is_unprivileged_and_has_sudo(made: Made) -> None:
    assert made.sh("id -un; sudo -n id -un").split() == ["ansible", "root"]


def test_root_is_not_let_in(made: Made) -> None:
    result = ssh(made, "root", LAB / "ssh" / "known_hosts")
    assert result.returncode == 255
    assert "Permission denied" in result.stderr


def test_a_host_with_another_key_is_not_trusted(made: Made, tmp_path: Path) -> None:
    pinned = (LAB / "ssh" / "known_hosts").read_text().splitlines()
    other = next(line for line in pinned if not line.startswith(f"{made.address} "))
    forged = tmp_path / "known_hosts"
    forged.write_text(f"{made.address} {other.split(' ', 1)[1]}\n")
    assert ssh(made, "ansible", LAB / "ssh" / "known_hosts").returncode == 0
    result = ssh(made, "ansible", forged)
    assert result.returncode == 255
    assert "Host key verification failed" in result.stderr


def test_it_believes_to_have_its_memory_and_a_fault_changes_it(made: Made) -> None:
    def total() -> int:
        return int(made.sh("awk '/MemTotal/ {print $2}' /proc/meminfo"))

    assert total() == made.memory_gib * GIB
    done("fault", made.name, "memory", "8")
    assert total() == 8 * GIB
    done("fault", made.name, "memory", str(made.memory_gib))
    assert total() == made.memory_gib * GIB


def test_the_igpu_is_as_the_kernel_would_show_it(made: Made) -> None:
    device = "/opt/ovms-lab/sys/bus/pci/devices/0000:00:02.0"
    assert made.sh(f"cat {device}/vendor {device}/device").split() == ["0x8086", "0x7d55"]
    assert "PCI_ID=8086:7D55" in made.sh(f"cat {device}/uevent")
    assert made.sh(f"basename $(readlink {device}/driver)") == "i915"
    assert made.sh(f"ls {device}/drm").split() == ["card0", "renderD128"]
    assert made.sh("stat -c '%F %t:%T %a %U:%g' /dev/dri/renderD128") == (
        f"character special file e2:80 660 root:{made.render_gid}"
    )
    assert made.sh("getent group render").split(":")[2] == str(made.render_gid)


def test_a_bare_store_has_no_docker_but_could_install_it(made: Made) -> None:
    assert made.sh("command -v docker dockerd || echo none") == "none"
    assert "Inst docker.io" in made.sh("sudo apt-get --simulate install docker.io")


def test_the_depot_wants_the_ca_and_the_password(made: Made) -> None:
    url = json.loads((LAB / "depot" / "credentials.json").read_text())["auths"]
    (registry,) = url
    program = f"""
import ssl, sys, urllib.request, urllib.error
request = urllib.request.Request("https://{registry}/v2/", headers=eval(sys.argv[1]))
context = ssl.create_default_context(cadata=sys.stdin.read() or None)
try:
    print(urllib.request.urlopen(request, context=context, timeout=10).status)
except urllib.error.HTTPError as error:
    print(error.code)
except urllib.error.URLError as error:
    print(type(error.reason).__name__)
"""
    ca = (LAB / "depot" / "ca.pem").read_text()
    right = {"Authorization": f"Basic {url[registry]['auth']}"}

    def ask(headers: dict[str, str], trusted: str) -> str:
        answer = subprocess.run(
            ["docker", "exec", "-i", f"{NAME}-{made.name}", "python3", "-c", program, repr(headers)],
            input=trusted,
            capture_output=True,
            text=True,
            check=True,
        )
        return answer.stdout.strip()

    assert ask(right, ca) == "200"
    assert ask({}, ca) == "401"
    assert ask({"Authorization": "Basic b3Ztcy1lZGdlOndyb25n"}, ca) == "401"
    assert ask(right, "") == "SSLCertVerificationError"


def test_after_a_reboot_it_is_the_same_host(made: Made) -> None:
    pinned = made.pinned()
    before = made.boot_time()
    made.sh("sudo sh -c 'echo kept > /srv/file; echo gone > /run/file'")
    done("restart", made.name)
    assert made.boot_time() != before
    assert len(made.pinned()) == 1
    assert made.pinned() == pinned
    assert made.sh("cat /srv/file; test -e /run/file || echo no") == "kept\nno"
    assert made.sh("stat -c %g /dev/dri/renderD128") == str(made.render_gid)
    assert made.sh("systemctl --failed --no-legend | wc -l") == "0"


def test_its_inventory_is_all_that_ansible_needs(made: Made) -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "stores", "-i", made.inventory, "-m", "ping", "-b"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{made.name} | SUCCESS" in result.stdout


def test_adding_it_again_changes_nothing(made: Made) -> None:
    before = made.boot_time()
    done("add", made.name, "--inventory", str(made.inventory))
    assert made.boot_time() == before


def test_status_tells_what_a_bare_store_serves(made: Made) -> None:
    (line,) = [line.split() for line in done("status").splitlines() if line.startswith(made.name)]
    assert line == [
        *(made.name, made.debian, str(made.memory_gib), "GiB", str(made.render_gid)),
        *(made.address, "running", "-"),
    ]


def test_a_removed_store_leaves_nothing(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory"
    done("add", "labtest-gone", "--inventory", str(inventory))
    (pinned,) = Made("labtest-gone", "", 0, 0, inventory).pinned()
    done("remove", "labtest-gone")
    assert not inventory.exists()
    assert not (LAB / "stores" / "labtest-gone").exists()
    # Its address may be another store's by now, its key never.
    assert pinned not in (LAB / "ssh" / "known_hosts").read_text().splitlines()
    left = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"name={NAME}-labtest-gone"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert left.stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ssh", "nowhere"), "no store 'nowhere'"),
        (("restart", "nowhere"), "no store 'nowhere'"),
        (("remove", "nowhere"), "no store 'nowhere'"),
        (("add", "No_Name"), "'No_Name' is no host name"),
        (("fault", "nowhere", "memory", "1"), "no store 'nowhere'"),
        (("up", "--stores", "0"), "invalid positive value"),
    ],
)
def test_a_wrong_call_says_so(words: tuple[str, ...], said: str) -> None:
    result = lab(*words)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
