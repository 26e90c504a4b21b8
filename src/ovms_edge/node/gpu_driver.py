"""What drives the GPU of this host: kernels, firmware, and how the driver is doing.

Paths and their meaning: the kernel's drivers/gpu/drm/i915 (``uc/guc_info`` in debugfs, ``engine/*``
in sysfs), and the firmware names of its gt/uc/intel_uc_fw.c. Reads only, and runs no program.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cmp_to_key
from pathlib import Path

from ovms_edge.node.apt_sources import Source, read_sources

# The GuC's is the one without which i915 declares a Meteor Lake wedged.
FIRMWARE = ("mtl_guc_70.bin", "mtl_huc_gsc.bin", "mtl_gsc_1.bin", "mtl_dmc.bin")
TIMEOUTS_UNIT = "etc/systemd/system/ovms-edge-gpu-timeouts.service"
_TIMEOUTS = ("heartbeat_interval_ms", "preempt_timeout_ms")
_PACKED = ("", ".zst", ".xz")
_MODULES = ("kernel/drivers/gpu/drm/i915", "updates", "updates/dkms")
_PACKAGES = re.compile(
    r"((linux-image|linux-firmware|firmware|libze|ocl-icd|intel-level-zero)[a-z0-9+.-]*|intel-opencl-icd|clinfo)"
    r"(:[a-z0-9-]+)?\.md5sums"
)
_RECORD_BYTES = 8192
_RECORDS_READ = 20_000


@dataclass(frozen=True)
class Kernel:
    """A kernel that the boot loader can start."""

    release: str
    has_i915: bool


@dataclass(frozen=True)
class Driver:
    """``kernels`` has the one first that starts next.

    ``guc`` is RUNNING, what else i915 says of it, or None: not known.
    ``running_has_i915`` is None where the modules of the running kernel are not on the host.
    """

    kernel: str
    running_has_i915: bool | None
    kernels: list[Kernel]
    firmware_missing: list[str]
    guc: str | None
    boot_image_stale: bool
    changed_since_boot: bool
    engines: dict[str, dict[str, int]]
    timeouts_unit: bool
    packages: list[str]
    sources: list[Source]


def find_driver(pci_address: str, sysfs_root: Path, root: Path = Path("/")) -> Driver:
    """Return what drives the GPU at ``pci_address``; ``root`` is where all but sysfs is looked for."""
    running = (root / "proc/sys/kernel/osrelease").read_text().strip()
    modules = root / "lib/modules"
    kernels = _kernels(root)
    firmware = {name: _firmware_time(root, name) for name in FIRMWARE}
    newest = max((time for time in firmware.values() if time), default=0.0)
    return Driver(
        kernel=running,
        running_has_i915=bool(_driver_time(modules / running)) if (modules / running).is_dir() else None,
        kernels=kernels,
        firmware_missing=[name for name, time in firmware.items() if time is None],
        guc=_guc(pci_address, sysfs_root, root),
        boot_image_stale=bool(kernels) and _older(root / f"boot/initrd.img-{kernels[0].release}", newest),
        changed_since_boot=max(newest, _driver_time(modules / running) or 0) > _booted_at(root),
        engines=_engines(sysfs_root / "bus/pci/devices" / pci_address),
        timeouts_unit=(root / TIMEOUTS_UNIT).exists(),
        packages=_packages(root / "var/lib/dpkg/info"),
        sources=read_sources(root / "etc/apt"),
    )


def compare_versions(first: str, second: str) -> int:
    """Return below, at or above 0 as dpkg orders two upstream versions, and the boot loader two kernels."""
    while first or second:
        text, first = _split(r"[^0-9]*", first)
        other, second = _split(r"[^0-9]*", second)
        for left, right in zip(_weights(text, len(other)), _weights(other, len(text)), strict=True):
            if left != right:
                return left - right
        number, first = _split(r"[0-9]*", first)
        another, second = _split(r"[0-9]*", second)
        if int(number or 0) != int(another or 0):
            return int(number or 0) - int(another or 0)
    return 0


def _split(pattern: str, text: str) -> tuple[str, str]:
    match = re.match(pattern, text)
    end = match.end() if match else 0
    return text[:end], text[end:]


def _weights(text: str, length: int) -> Iterator[int]:
    """Yield the order of each character, up to ``length`` or the end: ~ before the end before letters."""
    for index in range(max(len(text), length)):
        letter = text[index : index + 1]
        if letter == "~":
            yield -1
        elif not letter:
            yield 0
        else:
            yield ord(letter) if letter.isalpha() else ord(letter) + 256


def _kernels(root: Path) -> list[Kernel]:
    images = (path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*"))
    releases = [release for release in images if (root / "lib/modules" / release).is_dir()]
    releases.sort(key=cmp_to_key(compare_versions), reverse=True)
    return [Kernel(release, _driver_time(root / "lib/modules" / release) is not None) for release in releases]


def _driver_time(modules: Path) -> float | None:
    """Return when the i915 of a kernel was installed, in seconds of the clock; None if it has none."""
    for directory in _MODULES:
        for path in (modules / directory).glob("i915.ko*"):
            return path.stat().st_ctime
    try:
        builtin = "/i915/i915.ko\n" in (modules / "modules.builtin").read_text()
    except OSError:
        return None
    return (modules / "modules.builtin").stat().st_ctime if builtin else None


def _firmware_time(root: Path, name: str) -> float | None:
    """Return when a firmware file came here (not its own date, which is the package's)."""
    for directory in ("lib/firmware/updates/i915", "lib/firmware/i915"):
        for suffix in _PACKED:
            try:
                return (root / directory / (name + suffix)).stat().st_ctime
            except OSError:
                continue
    return None


def _older(path: Path, time: float) -> bool:
    try:
        return path.stat().st_mtime < time
    except OSError:
        return False


def _booted_at(root: Path) -> float:
    """Return when process 1 began: in a container that is later than its kernel."""
    boot = next(
        (line for line in (root / "proc/stat").read_text().splitlines() if line.startswith("btime ")), None
    )
    ticks = (root / "proc/1/stat").read_text().rpartition(")")[2].split()[19]
    return int(boot.split()[1] if boot else 0) + int(ticks) / os.sysconf("SC_CLK_TCK")


def _guc(pci_address: str, sysfs_root: Path, root: Path) -> str | None:
    said = [_status(path) for path in _guc_files(pci_address, sysfs_root)]
    if said:
        return next((status for status in said if status != "RUNNING"), "RUNNING")
    return guc_in_log(_kernel_log(root / "dev/kmsg"), pci_address)


def _guc_files(pci_address: str, sysfs_root: Path) -> list[Path]:
    """Return the reports of all GTs; older kernels name the directory by the card's number only."""
    debug = sysfs_root / "kernel/debug/dri"
    cards = (sysfs_root / "bus/pci/devices" / pci_address / "drm").glob("card*")
    names = (pci_address, *(card.name.removeprefix("card") for card in cards))
    try:
        found = [sorted((debug / name).glob("gt*/uc/guc_info")) for name in names]
    except OSError:  # not root
        return []
    return next((paths for paths in found if paths), [])


def _status(path: Path) -> str:
    match = re.search(r"^\s*(?:fw_)?status: (.+)$", path.read_text(), re.MULTILINE)
    return match[1].strip() if match else "without a status"


def guc_in_log(lines: list[str], pci_address: str) -> str | None:
    """Return what i915 logged of the GuC as it started, by the words of ``guc_info``; None if nothing."""
    verdict = None
    for line in lines:
        if f"i915 {pci_address}:" not in line:
            continue
        if re.search("declaring it wedged|GuC.*(fetch failed|initialization failed|load failed)", line):
            verdict = line.partition(f"i915 {pci_address}:")[2].strip()
        elif re.search("GUC: submission enabled|GuC firmware .* version [1-9]", line) and verdict is None:
            verdict = "RUNNING"
    return verdict


def _kernel_log(path: Path) -> list[str]:
    try:
        log = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return []
    lines: list[str] = []
    try:
        while len(lines) < _RECORDS_READ and (record := os.read(log, _RECORD_BYTES)):
            lines.append(record.decode(errors="replace"))
    except OSError:  # at its end, or overtaken by the kernel: what was read is what there is
        pass
    finally:
        os.close(log)
    return lines


def _engines(device: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for engine in sorted((device / "drm").glob("card*/engine/*")):
        values = {name: engine / name for name in _TIMEOUTS if (engine / name).exists()}
        found[engine.name] = {name: int(path.read_text()) for name, path in values.items()}
    return found


def _packages(info: Path) -> list[str]:
    """Return the installed packages that have to do with it; dpkg has these lists of whole packages only."""
    try:
        names = os.listdir(info)  # noqa: PTH208 - thousands of names, no need for a Path of each
    except OSError:
        return []
    return sorted(match[1] for name in names if (match := _PACKAGES.fullmatch(name)))
