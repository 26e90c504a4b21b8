"""The inventory of the machine: the lab's, with another way to reach it and less memory."""

from __future__ import annotations

import os

from lab.fleet import files, inventory
from lab.fleet.settings import Settings

from . import machine, place
from .place import Machine

_HEADER = "---\n# Written by lab/vm/vm: changes are lost.\n"


def write(settings: Settings, one: Machine) -> None:
    directory = place.inventory(settings)
    home = os.path.relpath(place.home(settings), directory)
    files.write(directory / "group_vars" / "stores.yml", inventory.group_vars(settings, directory))
    files.write(
        directory / "hosts.yml",
        f"""{_HEADER}
stores:
  hosts:
    {place.NAME}:
      ansible_host: 127.0.0.1
      ansible_port: {one.ssh_port}
      ansible_ssh_timeout: 120
      ansible_ssh_common_args: >-
        -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes
        -o 'UserKnownHostsFile="{{{{ inventory_dir }}}}/{home}/known_hosts"'
        -o GlobalKnownHostsFile=/dev/null
      # The tiny model needs no more than what QEMU is given.
      host_baseline_min_memory_gib: 5
      intel_gpu_reboot: when_needed
      intel_gpu_reboot_timeout_seconds: {int(machine.BOOT_SECONDS)}
""",
    )
