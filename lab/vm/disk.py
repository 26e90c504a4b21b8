"""A bootable disk without a mount or a loop device: MBR, GRUB in the gap behind it, one ext4 partition.

As grub-install leaves a disk. What GRUB boots is then the business of the machine's own /boot/grub/grub.cfg,
which Debian's kernel packages have written anew: nothing outside the machine decides which kernel runs.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from lab.fleet.shell import run
from ovms_edge.errors import EdgeError

LABEL = "ovms-vm"
_SECTOR = 512
_GAP = 2048 * _SECTOR  # where the partition begins, as partitioning tools have it
_SIGNATURE = b"OVMS"  # of the disk, for whoever tells disks apart by it
_GRUB = "boot/grub/i386-pc"
_BOOT_CODE_BYTES = 440
_LINUX_PARTITION = 0x83


def make(root: Path, target: Path, size_bytes: int) -> None:
    """Write ``root`` to the image ``target``, sparse and ``size_bytes`` long; there whole or not at all."""
    draft = target.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    sectors = boot_sectors(
        (root / _GRUB / "boot.img").read_bytes(), (root / _GRUB / "core.img").read_bytes(), size_bytes
    )
    try:
        with draft.open("wb") as file:
            os.ftruncate(file.fileno(), size_bytes)
        run([
            "mke2fs", "-q", "-F", "-t", "ext4", "-L", LABEL, "-d", root, "-E", f"offset={_GAP},nodiscard",
            draft, f"{(size_bytes - _GAP) // 1024}k",
        ])  # fmt: skip
        with draft.open("r+b") as file:
            file.write(sectors)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def boot_sectors(boot: bytes, core: bytes, size_bytes: int) -> bytes:
    """GRUB's boot.img with a partition table, then core.img, which it looks for in sector 1."""
    if _SECTOR + len(core) > _GAP:
        raise EdgeError(f"GRUB's core image has {len(core)} bytes", "build fewer modules into it, for 1 MiB")
    anywhere = b"\xfe\xff\xff"  # cylinder, head and sector, which nobody reads beside the block number
    first, sectors = _GAP // _SECTOR, (size_bytes - _GAP) // _SECTOR
    partition = struct.pack("<B3sB3sII", 0x80, anywhere, _LINUX_PARTITION, anywhere, first, sectors)
    table = _SIGNATURE + bytes(2) + partition + bytes(48) + b"\x55\xaa"
    return boot[:_BOOT_CODE_BYTES] + table + core
