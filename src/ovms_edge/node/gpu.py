"""Which Intel GPU this host has, by PCI id.

The ids: intel/compute-runtime, shared/source/dll/devices/devices_base.inl (releases 24.26 and later) and the
kernel's include/drm/intel/pciids.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

METEOR_LAKE = frozenset({"7d40", "7d45", "7d55", "7dd5"})
# i915 binds it, but compute-runtime dropped it: the host looks right and OpenVINO finds no GPU.
METEOR_LAKE_WITHOUT_COMPUTE = frozenset({"7d60"})
ARROW_LAKE = frozenset({"7d41", "7d51", "7d67", "7dd1"})
_INTEL = "8086"
_DISPLAY_CLASS = "03"


@dataclass(frozen=True)
class Gpu:
    """One Intel GPU. ``render_gid`` is the group of the render node, None if there is no node."""

    pci_address: str
    pci_id: str
    driver: str | None
    render_node: str | None
    render_gid: int | None
    generation: str | None
    supported: bool

    @property
    def verdict(self) -> str:
        """What is known of this PCI id."""
        product = self.pci_id.partition(":")[2]
        if self.supported:
            return "a Meteor Lake, supported"
        if product in METEOR_LAKE_WITHOUT_COMPUTE:
            return (
                "a Meteor Lake that i915 binds to, but that Intel's compute runtime does not support "
                "since 24.26 (compute-runtime commit d28ac15922), so OpenVINO finds no GPU"
            )
        if product in ARROW_LAKE:
            return "an Arrow Lake, not a Meteor Lake that is known to work"
        return "not a Meteor Lake that is known to work"

    @property
    def trouble(self) -> tuple[str, str] | None:
        """Reason and remedy, if OVMS cannot use this GPU."""
        if not self.supported:
            return (
                f"GPU {self.pci_id} at {self.pci_address} is {self.verdict}",
                "set device to CPU, or use a host with one of 8086:" + ", 8086:".join(sorted(METEOR_LAKE)),
            )
        if self.driver is None or self.render_node is None or self.render_gid is None:
            return (
                f"GPU {self.pci_id} has driver {self.driver or 'none'}, "
                f"render node {self.render_node or 'none'}",
                "run the role ovms.edge.intel_gpu, which says what the kernel and firmware lack",
            )
        return None


def find_gpu(sysfs_root: Path, dev_root: Path = Path("/dev")) -> Gpu | None:
    """Return the Intel GPU of this host, a supported one first; None if there is none.

    Reads ``<sysfs_root>/bus/pci/devices`` only, so that a lab can point it elsewhere.
    """
    devices = sysfs_root / "bus/pci/devices"
    if not devices.is_dir():
        return None
    found = [gpu for device in sorted(devices.iterdir()) if (gpu := _read(device, dev_root))]
    return min(found, key=lambda gpu: not gpu.supported, default=None)


def _read(device: Path, dev_root: Path) -> Gpu | None:
    vendor, product = _hex_id(device / "vendor"), _hex_id(device / "device")
    if vendor != _INTEL or not _hex_id(device / "class").startswith(_DISPLAY_CLASS):
        return None
    render_node = _render_node(device, dev_root)
    return Gpu(
        pci_address=device.name,
        pci_id=f"{vendor}:{product}",
        driver=_driver(device / "uevent"),
        render_node=str(render_node) if render_node else None,
        render_gid=render_node.stat().st_gid if render_node else None,
        generation=_generation(product),
        supported=product in METEOR_LAKE,
    )


def _generation(product: str) -> str | None:
    if product in METEOR_LAKE | METEOR_LAKE_WITHOUT_COMPUTE:
        return "meteor-lake"
    return "arrow-lake" if product in ARROW_LAKE else None


def _hex_id(path: Path) -> str:
    """Return sysfs text such as ``0x7d55`` as ``7d55``; empty if the file is missing."""
    try:
        return path.read_text().strip().lower().removeprefix("0x")
    except FileNotFoundError:
        return ""


def _driver(uevent: Path) -> str | None:
    try:
        lines = uevent.read_text().splitlines()
    except FileNotFoundError:
        return None
    return next((line.partition("=")[2] for line in lines if line.startswith("DRIVER=")), None)


def _render_node(device: Path, dev_root: Path) -> Path | None:
    names = sorted(entry.name for entry in (device / "drm").glob("renderD*"))
    nodes = [dev_root / "dri" / name for name in names]
    return next((node for node in nodes if node.exists()), None)
