from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from ovms_edge.node.gpu_driver import FIRMWARE, Driver, compare_versions, find_driver, guc_in_log

ADDRESS = "0000:00:02.0"
OLD, NEW = "6.1.0-28-amd64", "6.12.95+deb12-amd64"
GUC_INFO = (
    "GuC firmware: i915/mtl_guc_70.bin\n\tstatus: {}\n\tversion: found 70.20.0\n\tuCode: 324544 bytes\n"
)


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host that began at the time of this process, with a kernel that has no i915."""
    write(tmp_path / "proc/sys/kernel/osrelease", f"{OLD}\n")
    boot_and_begin(tmp_path, time.time() - 60)
    kernel(tmp_path, OLD, module=None)
    return tmp_path


def boot_and_begin(root: Path, began: float) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    write(root / "proc/stat", f"cpu 1 2 3\nbtime {int(began) - 100}\n")
    write(root / "proc/1/stat", f"1 (a (name) d) S {' '.join(['0'] * 18)} {100 * ticks} 0\n")


def kernel(root: Path, release: str, module: str | None = "kernel/drivers/gpu/drm/i915/i915.ko.xz") -> None:
    write(root / f"boot/vmlinuz-{release}")
    (root / "lib/modules" / release).mkdir(parents=True)
    if module:
        write(root / "lib/modules" / release / module)


def driver(root: Path) -> Driver:
    return find_driver(ADDRESS, root / "sys", root)


def firmware(root: Path, *names: str) -> None:
    for name in names:
        write(root / "lib/firmware/i915" / name)


def engine(root: Path, name: str, **values: int) -> None:
    for key, value in values.items():
        write(root / "sys/bus/pci/devices" / ADDRESS / "drm/card1/engine" / name / key, f"{value}\n")


def test_a_bare_host_has_its_old_kernel_and_no_firmware(root: Path) -> None:
    found = driver(root)
    assert (found.kernel, found.running_has_i915) == (OLD, False)
    assert [kernel.release for kernel in found.kernels] == [OLD]
    assert found.firmware_missing == list(FIRMWARE)
    assert (found.guc, found.engines, found.packages, found.sources) == (None, {}, [], [])
    assert (found.boot_image_stale, found.changed_since_boot, found.timeouts_unit) == (False, False, False)


def test_a_running_kernel_whose_modules_are_gone_is_not_known(root: Path) -> None:
    write(root / "proc/sys/kernel/osrelease", "6.18.1\n")
    assert driver(root).running_has_i915 is None


@pytest.mark.parametrize("module", ["kernel/drivers/gpu/drm/i915/i915.ko.zst", "updates/dkms/i915.ko"])
def test_a_kernel_with_the_driver_is_known_by_its_module(root: Path, module: str) -> None:
    kernel(root, NEW, module)
    assert [(kernel.release, kernel.has_i915) for kernel in driver(root).kernels] == [
        (NEW, True),
        (OLD, False),
    ]


def test_a_driver_that_is_built_in_counts(root: Path) -> None:
    kernel(root, NEW, None)
    write(root / f"lib/modules/{NEW}/modules.builtin", "kernel/drivers/gpu/drm/i915/i915.ko\n")
    assert driver(root).kernels[0].has_i915


def test_a_kernel_that_the_boot_loader_cannot_start_does_not_count(root: Path) -> None:
    write(root / f"lib/modules/{NEW}/kernel/drivers/gpu/drm/i915/i915.ko")
    assert [kernel.release for kernel in driver(root).kernels] == [OLD]


@pytest.mark.parametrize("name", ["mtl_guc_70.bin", "mtl_guc_70.bin.zst", "mtl_guc_70.bin.xz"])
def test_firmware_is_there_packed_or_not(root: Path, name: str) -> None:
    firmware(root, name)
    assert "mtl_guc_70.bin" not in driver(root).firmware_missing


def test_firmware_that_came_after_the_boot_is_told_by_when_it_came(root: Path) -> None:
    firmware(root, "mtl_guc_70.bin")
    os.utime(root / "lib/firmware/i915/mtl_guc_70.bin", (0, 0))  # as packages date their files
    assert driver(root).changed_since_boot
    boot_and_begin(root, time.time() + 60)
    assert not driver(root).changed_since_boot


def test_a_boot_image_older_than_the_firmware_is_stale(root: Path) -> None:
    image = write(root / f"boot/initrd.img-{OLD}")
    os.utime(image, (time.time() - 60,) * 2)
    assert not driver(root).boot_image_stale
    firmware(root, "mtl_guc_70.bin")
    assert driver(root).boot_image_stale
    os.utime(image, (time.time() + 60,) * 2)
    assert not driver(root).boot_image_stale


@pytest.mark.parametrize("directory", [ADDRESS, "1"])
def test_the_guc_of_every_gt_has_to_run(root: Path, directory: str) -> None:
    engine(root, "rcs0", heartbeat_interval_ms=2500)
    reports = [root / f"sys/kernel/debug/dri/{directory}/gt{number}/uc/guc_info" for number in (0, 1)]
    for report in reports:
        write(report, GUC_INFO.format("RUNNING"))
    assert driver(root).guc == "RUNNING"
    write(reports[1], GUC_INFO.format("LOAD FAIL"))
    assert driver(root).guc == "LOAD FAIL"


@pytest.mark.parametrize(
    ("line", "guc"),
    [
        ("[drm] GT0: GuC firmware i915/mtl_guc_70.bin version 70.20.0", "RUNNING"),
        ("[drm] GT0: GUC: submission enabled", "RUNNING"),
        ("[drm] *ERROR* GT0: GuC firmware i915/mtl_guc_70.bin: fetch failed -ENOENT",
         "[drm] *ERROR* GT0: GuC firmware i915/mtl_guc_70.bin: fetch failed -ENOENT"),
        ("Failed to initialize GPU, declaring it wedged!", "Failed to initialize GPU, declaring it wedged!"),
        ("[drm] Finished loading DMC firmware i915/mtl_dmc.bin (v2.21)", None),
    ],
)  # fmt: skip
def test_without_debugfs_the_kernels_log_tells(line: str, guc: str | None) -> None:
    log = [f"6,100,5,-;i915 {ADDRESS}: {line}", "6,101,6,-;i915 0000:03:00.0: declaring it wedged!"]
    assert guc_in_log(log, ADDRESS) == guc


def test_a_wedged_gpu_stays_so_whatever_is_logged_after(root: Path) -> None:
    lines = [
        f"i915 {ADDRESS}: {text}" for text in ("GuC initialization failed -2", "GUC: submission enabled")
    ]
    assert guc_in_log(lines, ADDRESS) == "GuC initialization failed -2"
    write(root / "dev/kmsg", lines[0])
    assert driver(root).guc == "GuC initialization failed -2"


def test_timeouts_of_the_engines_are_numbers(root: Path) -> None:
    engine(root, "rcs0", heartbeat_interval_ms=2500, preempt_timeout_ms=7500)
    engine(root, "bcs0", heartbeat_interval_ms=2500, timeslice_duration_ms=1)
    assert driver(root).engines == {
        "bcs0": {"heartbeat_interval_ms": 2500},
        "rcs0": {"heartbeat_interval_ms": 2500, "preempt_timeout_ms": 7500},
    }


def test_packages_are_those_that_dpkg_has_whole(root: Path) -> None:
    info = root / "var/lib/dpkg/info"
    for name in ("linux-image-amd64.md5sums", "libze1:amd64.md5sums", "clinfo.list", "zlib1g:amd64.md5sums"):
        write(info / name)
    assert driver(root).packages == ["libze1", "linux-image-amd64"]


RELEASES = [
    "5.15.0-204-generic", "6.1.0-9-amd64", "6.1.0-28-amd64", "6.8.0-45-generic", "6.8.0-149-generic",
    "6.10~rc7-amd64", "6.12.9+bpo-amd64", "6.12.12+bpo-amd64", "6.12.95+deb12-amd64",
    "6.12.95+deb12-cloud-amd64", "7.0.0-44-generic",
]  # fmt: skip


@pytest.mark.parametrize("first", RELEASES)
def test_kernels_are_ordered_as_dpkg_does(first: str) -> None:
    if shutil.which("dpkg") is None:
        pytest.fail("dpkg is not here: run this on Debian or Ubuntu")
    for second in RELEASES:
        done = subprocess.run(["dpkg", "--compare-versions", first, "lt", second], check=False)
        assert (compare_versions(first, second) < 0) == (done.returncode == 0), second
        assert (compare_versions(first, second) == 0) == (first == second)
