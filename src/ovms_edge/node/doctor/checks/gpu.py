"""The GPU: PCI device, kernel, driver, firmware, render node, hangs. Not where the device is the CPU."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable

from ovms_edge.node.doctor.checks.host import matching
from ovms_edge.node.doctor.evidence import Evidence, GpuEvidence
from ovms_edge.node.doctor.findings import Check, Trouble, Unknown, Verdict
from ovms_edge.node.gpu import METEOR_LAKE, Gpu

# The first release that binds Meteor Lake without i915.force_probe.
FIRST_KERNEL = (6, 7)
_DRIVER = "i915"
_KNOWN = "one of 8086:" + ", 8086:".join(sorted(METEOR_LAKE))
_VERSION = re.compile(r"(\d+)\.(\d+)")
_FIRMWARE_FAILED = re.compile(
    r"(?i)guc firmware.*(fail|error)|failed to (load|fetch).*i915/mtl_guc|guc init.* failed"
)
_WEDGED = re.compile(r"(?i)(i915|drm).*wedged")
_HANG = re.compile(
    r"(?i)GPU HANG|(i915|drm).*(resetting (chip|\w+) for|engine reset|reset request timed out)"
)
_RENDER_GROUP = "groupadd --system --force render && udevadm trigger --subsystem-match=drm --action=add"
_BACKPORT = (
    "apt-get install -t bookworm-backports linux-image-amd64 firmware-intel-graphics; systemctl reboot"
)
_REFRESH = "apt-get install firmware-intel-graphics && update-initramfs -u && systemctl reboot"

_READ_WRITE = stat.S_IRGRP | stat.S_IWGRP


def _of_gpu(look: Callable[[Evidence, GpuEvidence], Verdict]) -> Callable[[Evidence], Verdict]:
    def check(evidence: Evidence) -> Verdict:
        active = evidence.active
        if active and active.settings.get("device") == "CPU":
            return Unknown("OVMS computes on the CPU here")
        return (
            look(evidence, evidence.gpu) if evidence.gpu else Unknown("no settings that say where sysfs is")
        )

    return check


def _there(look: Callable[[Evidence, Gpu], Verdict]) -> Callable[[Evidence], Verdict]:
    return _of_gpu(lambda evidence, seen: look(evidence, seen.gpu) if seen.gpu else Unknown("no GPU"))


def _present(_evidence: Evidence, seen: GpuEvidence) -> Verdict:
    if seen.gpu:
        return None
    fix = "enable the iGPU in the firmware: systemctl reboot --firmware-setup; see lspci -nn -d 8086::0300"
    return Trouble("no Intel GPU on the PCI bus", _KNOWN, fix)


def _model(_evidence: Evidence, gpu: Gpu) -> Verdict:
    if gpu.supported:
        return None
    reason = gpu.trouble[0] if gpu.trouble else f"GPU {gpu.pci_id}"
    return Trouble(reason, _KNOWN, "set ovms_server_device to CPU, then run site.yml; or use another host")


def _kernel(evidence: Evidence, gpu: Gpu) -> Verdict:
    if evidence.host.in_container:
        return Unknown("in a container the kernel is another machine's")
    found = _VERSION.match(evidence.host.kernel)
    version = (int(found[1]), int(found[2])) if found else FIRST_KERNEL
    if version >= FIRST_KERNEL or gpu.driver == _DRIVER:
        return None
    return Trouble(f"kernel {evidence.host.kernel}, GPU {gpu.pci_id}", "kernel 6.7 or later", _BACKPORT)


def _driver(_evidence: Evidence, gpu: Gpu) -> Verdict:
    if gpu.driver == _DRIVER:
        return None
    found = f"GPU {gpu.pci_id} at {gpu.pci_address} is bound to {gpu.driver or 'no driver'}"
    return Trouble(found, _DRIVER, "modprobe i915 && journalctl -k --grep i915")


def _firmware(evidence: Evidence, _gpu: Gpu) -> Verdict:
    said = matching(evidence, _FIRMWARE_FAILED)
    if evidence.host.in_container:
        return Unknown("in a container the firmware is another machine's")
    if not evidence.host.has_firmware:
        return Trouble(f"no i915/mtl_guc_70.bin in {evidence.places.firmware}", "GuC firmware", _REFRESH)
    if isinstance(said, Unknown):
        return said
    return Trouble(f"the kernel log: {said}", "firmware that the driver takes", _REFRESH) if said else None


def _render_node(_evidence: Evidence, gpu: Gpu) -> Verdict:
    if gpu.render_node:
        return None
    fix = "journalctl -k --grep 'i915|drm'; udevadm trigger --subsystem-match=drm --action=add"
    return Trouble(f"GPU {gpu.pci_id} has no node in /dev/dri", "/dev/dri/renderD128", fix)


def _render_group(_evidence: Evidence, gpu: Gpu) -> Verdict:
    if gpu.render_gid:
        return None
    found = f"{gpu.render_node} is of group 0, which no container may be given"
    return Trouble(found, "the group render", _RENDER_GROUP)


def _render_mode(_evidence: Evidence, seen: GpuEvidence) -> Verdict:
    if seen.gpu is None or seen.render_mode & _READ_WRITE == _READ_WRITE:
        return None
    node = seen.gpu.render_node
    return Trouble(f"{node} has mode {stat.S_IMODE(seen.render_mode):04o}", "0660", f"chmod 0660 {node}")


def _in_log(pattern: re.Pattern[str], expected: str, fix: str) -> Callable[[Evidence], Verdict]:
    def look(evidence: Evidence, _gpu: Gpu) -> Verdict:
        said = matching(evidence, pattern)
        if isinstance(said, Unknown) or not said:
            return said or None
        return Trouble(f"the kernel log: {said}", expected, fix)

    return _there(look)


_HANG_FIX = (
    "cat /sys/class/drm/card*/error > /root/gpu-error; then lower ovms_server_cache_size, and site.yml"
)
CHECKS = (
    Check("gpu.present", "error", "an Intel GPU on the PCI bus", _of_gpu(_present), ("node.config",)),
    Check("gpu.model", "error", "its PCI id", _there(_model), ("gpu.present",)),
    Check("gpu.kernel", "error", "is the kernel new enough for it", _there(_kernel), ("gpu.model",)),
    Check(
        "gpu.firmware",
        "error",
        "GuC firmware, and what the kernel said of it",
        _there(_firmware),
        ("gpu.kernel",),
    ),
    Check(
        "gpu.driver",
        "error",
        "the driver that is bound",
        _there(_driver),
        ("gpu.firmware", "host.kernel-modules"),
    ),
    Check(
        "gpu.wedged",
        "error",
        "kernel log: a GPU given up",
        _in_log(_WEDGED, "a GPU that works", "systemctl reboot"),
        ("gpu.driver",),
    ),
    Check(
        "gpu.hang",
        "warning",
        "kernel log: hangs and resets",
        _in_log(_HANG, "no hang within a day", _HANG_FIX),
        ("gpu.wedged",),
    ),
    Check("gpu.render-node", "error", "/dev/dri/renderD*", _there(_render_node), ("gpu.driver",)),
    Check(
        "gpu.render-group", "error", "the render node's group", _there(_render_group), ("gpu.render-node",)
    ),
    Check("gpu.render-mode", "error", "the render node's mode", _of_gpu(_render_mode), ("gpu.render-group",)),
)
