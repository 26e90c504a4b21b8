# SPDX-License-Identifier: Apache-2.0
"""What a host lacks for its Intel GPU, and what has to be done about it. Private to this collection.

Pure: facts of ``ovms-node facts``, the settings and the catalogue of role ``intel_gpu`` in, a plan out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.ovms.edge.plugins.plugin_utils import _gpu_sources

Facts = Mapping[str, Any]

_ON_CPU = "serve with ovms_server_device CPU and intel_gpu_required false"
_LOOK = (
    "see `dmesg | grep -e i915 -e guc` and the kernel's command line (module_blacklist, nomodeset); "
    "docs/hardware-verification.md says what it should look like"
)
_LATE = "firmware or driver came after the boot"


@dataclass(frozen=True)
class Situation:
    """A host's facts beside what was asked for."""

    facts: Facts
    settings: Mapping[str, Any]
    catalogue: Mapping[str, Any]

    @property
    def gpu(self) -> Facts:
        """Empty where there is none."""
        return self.facts["gpu"] or {}

    @property
    def driver(self) -> Facts:
        """Empty where there is no GPU that a driver could help."""
        return self.facts["gpu_driver"] or {}

    @property
    def name(self) -> str:
        return f"GPU {self.gpu['pci_id']} at {self.gpu['pci_address']}"

    @property
    def works(self) -> bool:
        """As far as the host can tell: whether it computes is the gate's question."""
        gpu, driver = self.gpu, self.driver
        return bool(
            gpu and driver and gpu["driver"] == "i915" and gpu["render_node"]
            and driver["guc"] in ("RUNNING", None)
        )  # fmt: skip

    @property
    def parts(self) -> dict[str, Any] | None:
        """The catalogue's packages for this distribution; None if it is not known."""
        system = self.facts["os"]
        row = self.catalogue["distributions"].get(f"{system['id']}_{system['version_id']}")
        if row is None:
            return None
        kernels = row["kernels"]
        return {**row, "kernel": kernels.get("only") or kernels[self.settings["ubuntu_kernel"]]}

    def able(self, release: str, has_i915: bool | None) -> bool:
        """Tell whether a kernel can drive the GPU; one whose modules are not known is taken at its number."""
        return numbers(release) >= numbers(self.catalogue["minimum_kernel"]) and has_i915 is not False

    @property
    def running_able(self) -> bool:
        return bool(self.driver and self.able(self.driver["kernel"], self.driver["running_has_i915"]))

    @property
    def installed_able(self) -> list[str]:
        """The kernels on the disk that can drive the GPU, the newest first."""
        kernels = self.driver.get("kernels", [])
        return [kernel["release"] for kernel in kernels if self.able(kernel["release"], kernel["has_i915"])]


def numbers(release: str) -> tuple[int, int]:
    """Return the first two numbers of a kernel's release."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def gpu_plan(facts: Facts, settings: Mapping[str, Any], catalogue: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is due on a host (in words: ``lines``), why it cannot be done, and what is lacking now."""
    it = Situation(facts, settings, catalogue)
    wanted = due_parts(it)
    reboot = reboot_reasons(it)
    # What is about to be installed brings its own, and is looked at afterwards.
    stale = not wanted and not it.works and it.driver.get("boot_image_stale", False)
    plan: dict[str, Any] = {
        "due": bool(wanted or stale or reboot),
        "will_change": bool(wanted or stale or (reboot and settings["reboot"] == "when_needed")),
        "lines": [*(why for _, why in wanted), *(f"reboot needed: {reason}" for reason in reboot)],
        "packages": [package for part, _ in wanted for package in part["packages"]],
        "files": [],
        "refusal": None,
        "boot_image": it.driver["kernels"][0]["release"] if stale else None,
        "reboot": reboot,
        "works": it.works,
        "shortcoming": shortcoming(it, reboot),
    }
    if wanted:
        plan["files"], plan["refusal"] = _gpu_sources.files(it.parts, facts, settings)
    return plan


def due_parts(it: Situation) -> list[tuple[dict[str, Any], str]]:
    """Return the parts of the catalogue to install, and why each.

    Those of an unknown distribution have no packages.
    """
    if not it.driver:
        return []
    parts = it.parts
    due = [
        (name, why)
        for name, why in (
            ("kernel", kernel_why(it)),
            ("firmware", firmware_why(it)),
            ("runtime", runtime_why(it)),
        )
        if why
    ]
    if parts is None:
        return [({"packages": []}, why) for _, why in due]
    return [
        (parts[name], f"{why}: installs {' '.join(parts[name]['packages'])}")
        for name, why in due
        if parts.get(name)
    ]


def managed(it: Situation) -> str:
    """Return the mode; no kernel moves for a GPU that need not be there."""
    mode: str = it.settings["manage_driver"]
    return mode if it.settings["required"] or mode == "always" else "never"


def lacks(it: Situation, name: str) -> bool:
    """Tell whether a package of that part of the catalogue is not installed."""
    part = (it.parts or {}).get(name)
    return part is not None and not set(part["packages"]) <= set(it.driver["packages"])


def kernel_why(it: Situation) -> str | None:
    mode, _driver = managed(it), it.driver
    if mode == "always" and lacks(it, "kernel"):
        return "the kernel was asked for (intel_gpu_manage_driver: always)"
    if mode == "never" or it.works or it.running_able or it.installed_able:
        return None
    return f"{it.name} cannot be used: {kernel_trouble(it)}"


def kernel_trouble(it: Situation) -> str:
    """Return why the running kernel does not do."""
    driver = it.driver
    if numbers(driver["kernel"]) < numbers(it.catalogue["minimum_kernel"]):
        return f"kernel {driver['kernel']} runs, and the first for it is {it.catalogue['minimum_kernel']}"
    return f"kernel {driver['kernel']} has no i915"


def firmware_why(it: Situation) -> str | None:
    mode, driver = managed(it), it.driver
    if mode == "always" and lacks(it, "firmware"):
        return "the firmware was asked for (intel_gpu_manage_driver: always)"
    guc = it.catalogue["guc_firmware"]
    if mode == "never" or it.works or guc not in driver["firmware_missing"]:
        return None
    return f"{it.name} cannot be used without the firmware i915/{guc}"


def runtime_why(it: Situation) -> str | None:
    if not it.settings["runtime"]:
        return None
    parts = it.parts
    if parts is not None and parts.get("runtime") is None:
        return None  # refused by shortcoming()
    if parts is not None and not lacks(it, "runtime"):
        return None
    return "the runtime of the host was asked for (intel_gpu_runtime)"


def reboot_reasons(it: Situation) -> list[str]:
    """Return why the host has to boot again, nothing if it would not help."""
    driver = it.driver
    if not driver:
        return []
    running = driver["kernel"]
    # A kernel that the boot loader has from elsewhere is not known, and starts again.
    following = driver["kernels"][0]["release"] if driver["kernels"] else running
    starts_able = following in it.installed_able
    if it.works:
        other = managed(it) == "always" and starts_able and following != running
        return [f"kernel {running} runs, and {following} was asked for and is installed"] if other else []
    if not it.running_able and starts_able:
        return [f"{kernel_trouble(it)}; {following} is installed"]
    guc = it.catalogue["guc_firmware"]
    if it.running_able and driver["changed_since_boot"] and guc not in driver["firmware_missing"]:
        return [_LATE]
    return []


def shortcoming(it: Situation, reboot: list[str]) -> str:
    """Return the first thing that is missing and its remedy, since each follows from the one before it.

    Nothing where all is there.
    """
    settings = it.settings
    if not it.gpu:
        return (
            f"no Intel GPU found under {settings['sysfs_root']}; enable the iGPU in the firmware, or set "
            "intel_gpu_required to false and serve with ovms_server_device CPU"
        )
    if not it.driver:
        return f"{it.name} is {it.gpu['verdict']}; {_ON_CPU}"
    if settings["runtime"] and it.parts is not None and it.parts.get("runtime") is None:
        return f"intel_gpu_runtime is true, and {it.parts['no_runtime']}; set it to false"
    if it.works:
        return no_group(it)
    return f"{it.name} {driver_trouble(it)}; {remedy(it, reboot)}"


def no_group(it: Situation) -> str:
    if it.gpu["render_gid"]:
        return ""
    return (
        f"{it.gpu['render_node']} belongs to group 0, so a container cannot be let in; "
        "run `groupadd --system render && udevadm trigger --subsystem-match=drm`"
    )


def driver_trouble(it: Situation) -> str:
    gpu, driver = it.gpu, it.driver
    if gpu["driver"] != "i915":
        return f"is bound to {gpu['driver'] or 'no driver'}, not to i915, by kernel {driver['kernel']}"
    if driver["guc"] not in ("RUNNING", None):
        return f"is bound to i915, whose GuC firmware does not run: {driver['guc']}"
    return "has no render node"


def remedy(it: Situation, reboot: list[str]) -> str:
    """Return what is left to do, by who may do it."""
    driver, parts = it.driver, it.parts
    if reboot:
        return f"{reboot[0]}: reboot the host, or set intel_gpu_reboot to when_needed, and run again"
    if parts is None:
        return (
            f"this role does not know {it.facts['os']['name']}: install a kernel from "
            f"{it.catalogue['minimum_kernel']} on, and i915/{it.catalogue['guc_firmware']}, and reboot"
        )
    unable = not it.running_able and not it.installed_able
    missing = it.catalogue["guc_firmware"] in driver["firmware_missing"]
    lacking = [name for name, is_due in (("kernel", unable), ("firmware", missing)) if is_due]
    if lacking:
        packages = " ".join(package for name in lacking for package in parts[name]["packages"])
        if not any(lacks(it, name) for name in lacking):
            return f"{packages} is installed: run `apt-get install --reinstall {packages}`, and reboot"
        return f"set intel_gpu_manage_driver to when_needed, or install {packages} and reboot"
    if not it.running_able:
        return (
            f"the boot loader starts {driver['kernels'][0]['release']}; "
            f"have it start {it.installed_able[0]}, which has i915, and reboot"
        )
    return _LOOK
