"""Role ``intel_gpu`` on hosts that lack what the GPU needs, from bare to booted with it.

One store takes the identity of each distribution in turn. Its kernel is what a file says that is mounted over
/proc/sys/kernel/osrelease; as it starts it takes the newest of /boot, and has a GPU if that has i915 and the
firmware is there (BOOT below).
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e import apt_stand_ins, fault_store
from tests.e2e.apt_stand_ins import KEYRING, ROOT, Package, Suite, kernel
from tests.e2e.fault_store import FaultStore, Run

pytestmark = pytest.mark.lab

STORE = "labtest-gpu"
CONTAINER = f"{os.environ.get('OVMS_LAB_NAME', 'ovms-lab')}-{STORE}"
FIRMWARE = ("/lib/firmware/i915/mtl_guc_70.bin",)
OLD = "6.1.0-28-amd64"
NEW = "6.12.95+deb12-amd64"
# A package of the base suite that a suite of the role's own has in a higher version.
BYSTANDER = "bystander"
BASE = (Package(BYSTANDER, "1.0"), Package("linux-image-amd64", "6.1"))
GRAPHICS = "firmware-intel-graphics"
SUITES = (
    Suite("debian", "bookworm", "bookworm", {"main": BASE}),
    Suite(
        "debian", "bookworm-backports", "bookworm-backports",
        {
            "main": (Package(BYSTANDER, "2.0"), *kernel(NEW, "linux-image-amd64", "6.12.95~bpo12")),
            "non-free-firmware": (Package(BYSTANDER, "3.0"), Package(GRAPHICS, "2025", FIRMWARE)),
        },
    ),
    Suite(
        "debian", "trixie", "trixie",
        {"main": (), "non-free-firmware": (Package(GRAPHICS, "2026", FIRMWARE),)},
    ),
    Suite("ubuntu", "jammy", "jammy", {"main": (Package("linux-firmware", "20220329.1", FIRMWARE),)}),
    Suite(
        "ubuntu", "jammy-updates", "jammy",
        {"main": kernel("6.8.0-149-generic", "linux-image-generic-hwe-22.04", "6.8.0.149")},
    ),
    Suite("ubuntu", "noble", "noble", {"main": (Package("linux-firmware", "20240318", FIRMWARE),)}),
    Suite(
        "ubuntu", "noble-updates", "noble",
        {"main": kernel("7.0.0-44-generic", "linux-image-generic-hwe-24.04", "7.0.0.44")},
    ),
)  # fmt: skip
IDENTITIES = {
    "bookworm": ("debian", "12"), "trixie": ("debian", "13"),
    "jammy": ("ubuntu", "22.04"), "noble": ("ubuntu", "24.04"),
}  # fmt: skip
# What boot loader, kernel and udev do: the newest kernel, another boot id, and a GPU if it can be driven.
BOOT = r"""#!/bin/sh
set -eu
release=$(ls /boot | sed -n 's/^vmlinuz-//p' | sort -V | tail -1)
echo "$release" > /run/osrelease
cat /proc/sys/kernel/random/uuid > /run/boot_id
mount --bind /run/osrelease /proc/sys/kernel/osrelease
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
device=/opt/ovms-lab/sys/devices/pci0000:00/0000:00:02.0
sed -i '/^DRIVER=/d' "$device/uevent"
rm -rf "$device/drm/card0/engine" /opt/ovms-lab/sys/kernel
mkdir -p /opt/drm
mv "$device"/drm/* /opt/drm/ 2>/dev/null || true
module=/lib/modules/$release/kernel/drivers/gpu/drm/i915/i915.ko.xz
if [ -e "$module" ] && [ -e /lib/firmware/i915/mtl_guc_70.bin ]; then
  mv /opt/drm/* "$device/drm/"
  echo DRIVER=i915 >> "$device/uevent"
  report=/opt/ovms-lab/sys/kernel/debug/dri/0/gt0/uc/guc_info
  mkdir -p "$device/drm/card0/engine/rcs0/.defaults" "${report%/*}"
  for place in rcs0 rcs0/.defaults; do
    echo 2500 > "$device/drm/card0/engine/$place/heartbeat_interval_ms"
    echo 7500 > "$device/drm/card0/engine/$place/preempt_timeout_ms"
  done
  printf 'GuC firmware: i915/mtl_guc_70.bin\n\tstatus: RUNNING\n' > "$report"
fi
"""
# shutdown(8) asks logind, which a store of the lab has not.
SHUTDOWN = """#!/bin/sh
exec systemctl start --no-block reboot.target
"""
UPDATE_INITRAMFS = """#!/bin/sh
echo "$*" >> /var/log/update-initramfs
touch "/boot/initrd.img-$3"
"""
UNIT = """[Unit]
Before=ssh.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/boot-stand-in
[Install]
WantedBy=multi-user.target
"""
RESET = f"""set -eu
dpkg-query -W -f '${{Package}}\\n' | grep -E '^(linux-image-|linux-firmware|firmware-)' \
  | xargs -r dpkg --purge >/dev/null 2>&1
rm -rf /boot/* /lib/modules /lib/firmware/i915 /var/lib/apt/lists/* \
  /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/preferences.d/*
mkdir -p /boot /lib/modules/{OLD}
touch /boot/vmlinuz-{OLD} /boot/initrd.img-{OLD}
"""
# Serially, so that it is back only with its render node: as it goes down it shows this machine's boot id.
REBOOT = {"reboot": "when_needed", "reboot_serially": True, "reboot_timeout_seconds": 60}
PLAYBOOK = """
- hosts: stores
  gather_facts: false
  become: true
  roles: [ovms.edge.intel_gpu]
"""


class GpuStore(FaultStore):
    def become(self, codename: str, release: str = OLD) -> None:
        """Make a bare host of it, of another distribution and with an old kernel, and start that."""
        name, version = IDENTITIES[codename]
        suites = [codename] + ([f"{codename}-updates"] if name == "ubuntu" else [])
        lines = "".join(f"deb [signed-by={KEYRING}] file:{ROOT}/{name} {suite} main\\n" for suite in suites)
        system = f"ID={name}\\nVERSION_ID={version}\\nVERSION_CODENAME={codename}\\nPRETTY_NAME={name}\\n"
        self.shell(
            RESET.replace(OLD, release)
            + f"printf '{lines}' > /etc/apt/sources.list\nprintf '{system}' > /etc/os-release\n"
        )
        fault_store.lab("restart", self.name)

    def role(self, playbook: Path, *options: str, **settings: object) -> Run:
        return self.playbook(
            str(playbook), *options, **{f"intel_gpu_{key}": value for key, value in settings.items()}
        )

    def candidate(self, package: str) -> str:
        match = re.search(r"Candidate: (\S+)", self.run("apt-cache", "policy", package))
        assert match
        return match[1]


@contextmanager
def started_again() -> Iterator[list[str]]:
    """Start the container as often as it ends: what firmware does at a reboot. Yields when that was."""
    ended, done = [], threading.Event()

    def watch() -> None:
        while not done.is_set():
            state = subprocess.run(
                ["docker", "inspect", "-f", "{{.State.Status}}", CONTAINER],
                capture_output=True,
                text=True,
                check=False,
            ).stdout.strip()
            if state == "exited":
                ended.append(state)
                subprocess.run(["docker", "start", CONTAINER], capture_output=True, check=True)
            done.wait(0.5)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield ended
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def playbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gpu") / "role.yml"
    path.write_text(PLAYBOOK)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpuStore]:
    host = GpuStore(STORE, tmp_path_factory.mktemp("gpu") / "inventory")
    fault_store.lab("add", STORE, "--debian", "12", "--memory-gib", "32", "--inventory", str(host.inventory))
    try:
        apt_stand_ins.build(host, SUITES)
        host.shell(
            "set -e\nrm -f /etc/os-release\n"
            f"cat > /usr/local/lib/boot-stand-in <<'END'\n{BOOT}END\nchmod 755 /usr/local/lib/boot-stand-in\n"
            f"rm /sbin/shutdown\ncat > /sbin/shutdown <<'END'\n{SHUTDOWN}END\nchmod 755 /sbin/shutdown\n"
            f"cat > /usr/sbin/update-initramfs <<'END'\n{UPDATE_INITRAMFS}END\n"
            "chmod 755 /usr/sbin/update-initramfs\n"
            f"cat > /etc/systemd/system/boot-stand-in.service <<'END'\n{UNIT}END\n"
            "systemctl enable -q boot-stand-in.service"
        )
        yield host
    finally:
        fault_store.lab("remove", STORE)


def changed(run: Run) -> int:
    match = re.search(r"changed=(\d+)\s+unreachable=0\s+failed=0", run.output)
    assert match, run.output
    return int(match[1])


def test_bare_debian_12_gets_kernel_and_firmware_of_backports_and_boots_with_them(
    store: GpuStore, playbook: Path
) -> None:
    store.become("bookworm")
    dry = store.role(playbook, "--check", "--diff")
    assert changed(dry) > 0
    assert f"kernel {OLD} runs, and the first for it is 6.7: installs linux-image-amd64" in " ".join(
        dry.output.split()
    )
    assert (
        store.shell("ls /etc/apt/sources.list.d /etc/apt/preferences.d /boot | grep -e ovms -e 6.12 || true")
        == ""
    )

    refused = store.role(playbook)
    assert refused.status != 0
    assert f"{NEW} is installed: reboot the host, or set intel_gpu_reboot" in " ".join(refused.output.split())
    assert store.run("cat", "/proc/sys/kernel/osrelease").strip() == OLD

    with started_again() as reboots:
        run = store.role(playbook, **REBOOT)
    assert run.status == 0, run.output
    assert len(reboots) == 1
    assert store.run("cat", "/proc/sys/kernel/osrelease").strip() == NEW
    assert changed(store.role(playbook, **REBOOT)) == 0
    assert store.candidate("linux-image-amd64") == "6.12.95~bpo12"
    assert store.candidate(BYSTANDER) == "1.0"


def test_timeouts_are_set_changed_and_given_back(store: GpuStore, playbook: Path) -> None:
    engine = "/opt/ovms-lab/sys/bus/pci/devices/0000:00:02.0/drm/card0/engine/rcs0"
    for heartbeat in (20_000, 30_000):
        assert changed(store.role(playbook, heartbeat_interval_ms=heartbeat)) > 0
        assert store.run("cat", f"{engine}/heartbeat_interval_ms").strip() == str(heartbeat)
    assert changed(store.role(playbook, heartbeat_interval_ms=30_000)) == 0
    assert store.run("cat", f"{engine}/preempt_timeout_ms").strip() == "7500"
    assert changed(store.role(playbook)) > 0
    assert store.run("cat", f"{engine}/heartbeat_interval_ms").strip() == "2500"
    assert store.shell("systemctl cat ovms-edge-gpu-timeouts.service 2>/dev/null || true") == ""


@pytest.mark.parametrize(
    ("codename", "release", "settings", "packages"),
    [
        ("trixie", "6.12.48+deb13-amd64", {}, ["firmware-intel-graphics"]),
        ("jammy", "5.15.0-204-generic", {}, ["linux-firmware", "linux-image-generic-hwe-22.04"]),
        (
            "noble", "6.6.0-1-generic", {"ubuntu_kernel": "hwe"},
            ["linux-firmware", "linux-image-generic-hwe-24.04"],
        ),
    ],
)  # fmt: skip
def test_other_distributions_get_theirs(
    store: GpuStore,
    playbook: Path,
    codename: str,
    release: str,
    settings: dict[str, str],
    packages: list[str],
) -> None:
    store.become(codename, release)
    if codename == "trixie":  # its own kernel does
        store.shell(f"d=/lib/modules/{release}/kernel/drivers/gpu/drm/i915; mkdir -p $d; touch $d/i915.ko.xz")
    assert changed(store.role(playbook, "--check", **settings)) > 0
    with started_again() as reboots:
        run = store.role(playbook, **REBOOT, **settings)
    assert run.status == 0, run.output
    assert len(reboots) == 1
    installed = store.shell(
        "dpkg-query -W -f '${Package}\\n' 'linux-*' 'firmware-*' | grep -v -e image-6 -e image-7 -e base"
    )
    assert installed.split() == packages
    ours = store.shell("cat /etc/apt/sources.list.d/ovms-edge-gpu.sources 2>/dev/null || true")
    assert ("Components: non-free-firmware" in ours) == (codename == "trixie")
    assert changed(store.role(playbook, **REBOOT, **settings)) == 0
    rebuilt = store.shell("cat /var/log/update-initramfs 2>/dev/null; rm -f /var/log/update-initramfs")
    assert rebuilt.split() == (["-u", "-k", release] if codename == "trixie" else [])
