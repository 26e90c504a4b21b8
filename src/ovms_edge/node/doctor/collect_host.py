"""Evidence of the host: memory, disks, clock, kernel, its log, and what systemd says of units."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ovms_edge.node.config import NodeConfig
from ovms_edge.node.doctor.commands import Run
from ovms_edge.node.doctor.evidence import Disk, GpuEvidence, HostEvidence, Places, UnitsEvidence
from ovms_edge.node.gpu import find_gpu
from ovms_edge.node.host import clock_synchronized, memory_bytes, os_release
from ovms_edge.node.paths import existing_parent

DOCKER_UNIT = "docker.service"
GATEWAY_UNIT = "ovms-edge-gateway.service"
TIMER_UNIT = "ovms-edge-tend.timer"
TEND_UNIT = "ovms-edge-tend.service"
UNITS = (DOCKER_UNIT, GATEWAY_UNIT, TIMER_UNIT, TEND_UNIT)

DOCKER_ROOT = Path("/var/lib/docker")
# Without it i915 computes nothing on Meteor Lake (linux, drivers/gpu/drm/i915/gt/uc/intel_uc_fw.c).
GUC_FIRMWARE = "i915/mtl_guc_70.bin"
_DAY_SECONDS = 24 * 3600.0
_MICROSECOND = 1e-6
_RECORD_BYTES = 8192  # at least one record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg)
_STALL = re.compile(r"^full .*\bavg60=([0-9.]+)", re.MULTILINE)


def host_evidence(places: Places, config: NodeConfig | None, in_container: bool) -> HostEvidence:
    """Return what the host says of itself."""
    kernel = platform.release()
    total, available = memory_bytes(places.proc / "meminfo")
    return HostEvidence(
        in_container=in_container,
        os=os_release(),
        machine=platform.machine(),
        kernel=kernel,
        memory_total=total,
        memory_available=available,
        memory_stall=None if in_container else _memory_stall(places.proc / "pressure/memory"),
        clock_synchronized=clock_synchronized(),
        kernel_log=None if in_container else _kernel_log(places.dev / "kmsg"),
        has_modules=(places.modules / kernel).is_dir(),
        has_firmware=any(places.firmware.glob(f"{GUC_FIRMWARE}*")),  # also .xz, .zst
        reboot_required=(places.run / "reboot-required").exists(),
        state_disk=_disk(config.state_dir) if config else None,
        docker_disk=_disk(DOCKER_ROOT),
    )


def gpu_evidence(places: Places, config: NodeConfig) -> GpuEvidence:
    """Return the GPU as sysfs and /dev have it."""
    gpu = find_gpu(config.sysfs_root, places.dev)
    mode = Path(gpu.render_node).stat().st_mode if gpu and gpu.render_node else 0
    return GpuEvidence(gpu, mode)


def units_evidence(run: Run) -> UnitsEvidence | None:
    """Return what systemd says; None if it does not."""
    shown = run(["systemctl", "show", "--property=Id,ActiveState,UnitFileState", *UNITS])
    failed = run(["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"])
    if not shown or failed is None:
        return None
    blocks = [dict(_pairs(block)) for block in shown.split("\n\n")]
    return UnitsEvidence(
        {block["Id"]: block for block in blocks if "Id" in block},
        tuple(line.split()[0] for line in failed.splitlines() if line.strip()),
    )


def _pairs(block: str) -> Iterator[tuple[str, str]]:
    for line in block.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            yield name, value


def _memory_stall(path: Path) -> float | None:
    try:
        found = _STALL.search(path.read_text())
    except OSError:
        return None  # a kernel without PSI
    return float(found[1]) if found else None


def _kernel_log(path: Path) -> tuple[str, ...] | None:
    """Return the messages of the last day from the kernel's own buffer; None if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        lines = b"".join(_records(descriptor)).decode(errors="replace").splitlines()
    finally:
        os.close(descriptor)
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    found = []
    for line in lines:
        head, semicolon, message = line.partition(";")
        fields = head.split(",")
        if not semicolon or line.startswith(" ") or len(fields) < 3 or not fields[2].isdecimal():
            continue
        if now - int(fields[2]) * _MICROSECOND <= _DAY_SECONDS:
            found.append(message)
    return tuple(found)


def _records(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            record = os.read(descriptor, _RECORD_BYTES)
        except BlockingIOError:
            return
        except BrokenPipeError:
            continue  # records were overwritten meanwhile: go on with the oldest that is left
        if not record:
            return
        yield record


def _disk(path: Path) -> Disk | None:
    try:
        stat = os.statvfs(existing_parent(path))
    except OSError:
        return None
    return Disk(
        path,
        stat.f_blocks * stat.f_frsize,
        stat.f_bavail * stat.f_frsize,
        stat.f_files,
        stat.f_favail,
        bool(stat.f_flag & os.ST_RDONLY),
    )


def lock_command(path: Path, proc: Path) -> str:
    """Return the command that holds the lock at ``path``, empty if none does.

    The lock itself is not tried: not even for a moment may somebody find it held by us. Its file names the
    last holder, and that one has it while it has the file open.
    """
    holder = _holder(path)
    try:
        entries = list((proc / str(holder.get("pid")) / "fd").iterdir())
    except OSError:
        return ""
    for entry in entries:
        try:
            if entry.samefile(path):
                return str(holder.get("command"))
        except OSError:
            continue
    return ""


def _holder(path: Path) -> Mapping[str, object]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
