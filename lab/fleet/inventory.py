"""The inventory that the lab writes for its stores."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from . import files
from .model import release_ref
from .settings import DEPOT_USER, OVMS_VERSION, Settings
from .store import Store, known

_HEADER = "---\n# Written by lab/lab: changes are lost. inventory/example/ is the manual.\n"


def hosts(stores: Iterable[Store]) -> str:
    """``hosts.yml``: the group ``stores``."""
    lines = [_HEADER, "stores:\n  hosts:\n"]
    lines += [f"    {store.name}:\n      ansible_host: {store.address}\n" for store in stores]
    return "".join(lines)


def group_vars(settings: Settings, directory: Path) -> str:
    """``group_vars/stores.yml``. Paths are relative to the inventory: no path of this machine is in it."""
    home = os.path.relpath(settings.home, directory)
    return f"""{_HEADER}
ovms_lab_home: "{{{{ inventory_dir }}}}/{home}"

ansible_user: ansible
ansible_python_interpreter: /usr/bin/python3
ansible_ssh_private_key_file: "{{{{ ovms_lab_home }}}}/ssh/id_ed25519"
ansible_ssh_common_args: >-
  -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes
  -o 'UserKnownHostsFile="{{{{ ovms_lab_home }}}}/ssh/known_hosts"'
  -o GlobalKnownHostsFile=/dev/null

host_baseline_min_disk_gib: 2
host_baseline_require_time_sync: false
# Minutes for all the tests that set up a store; tests/e2e/test_decommission.py has them.
host_baseline_security_upgrades: false

intel_gpu_sysfs_root: /opt/ovms-lab/sys

docker_engine_registries:
  - address: {settings.depot_registry}
    ca: "{{{{ lookup('ansible.builtin.file', ovms_lab_home ~ '/depot/ca.pem') }}}}"
    username: {DEPOT_USER}
    password: "{{{{ lookup('ansible.builtin.file', ovms_lab_home ~ '/depot/password') }}}}"

node_agent_sysfs_root: /opt/ovms-lab/sys
node_agent_depot_url: {settings.depot_url}
node_agent_depot_ca: "{{{{ lookup('ansible.builtin.file', ovms_lab_home ~ '/depot/ca.pem') }}}}"
node_agent_allowed_signers:
  - "{{{{ lookup('ansible.builtin.file', ovms_lab_home ~ '/signer/allowed_signers') }}}}"

model_release_ref: {release_ref(settings)}

ovms_server_release: {release_ref(settings)}
ovms_server_image: {settings.server_image}
ovms_server_ovms_version: {OVMS_VERSION}
ovms_gateway_bind_address: 0.0.0.0
ovms_gateway_allow_plain: true
"""


def write(settings: Settings, directory: Path) -> list[Store]:
    """Write the inventory of ``directory``, or remove it if no store stands in it. Returns its stores."""
    stores = [store for store in known(settings).values() if store.inventory == str(directory)]
    hosts_file, variables = directory / "hosts.yml", directory / "group_vars" / "stores.yml"
    if stores:
        files.write(hosts_file, hosts(stores))
        files.write(variables, group_vars(settings, directory))
    else:
        hosts_file.unlink(missing_ok=True)
        variables.unlink(missing_ok=True)
        for empty in (variables.parent, directory):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()
    return stores
