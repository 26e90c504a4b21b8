"""An Ansible inventory in this process, for a few variables of very many hosts.

The same files with the same precedence as in a play, without what makes 100,000 hosts slow there: variables
of groups are merged once for all hosts in the same groups, and vars plugins are asked about a host only if
it may have a file. Left out: variables of playbooks (group_vars beside them, too), of roles, and facts.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible import constants  # type: ignore[import-untyped]
from ansible.inventory.helpers import get_group_vars, sort_groups  # type: ignore[import-untyped]
from ansible.inventory.host import Host  # type: ignore[import-untyped]
from ansible.inventory.manager import InventoryManager  # type: ignore[import-untyped]
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.plugins.loader import init_plugin_loader, vars_loader  # type: ignore[import-untyped]
from ansible.utils.collection_loader import AnsibleCollectionConfig  # type: ignore[import-untyped]
from ansible.vars.plugins import get_vars_from_inventory_sources  # type: ignore[import-untyped]

from ovms_edge.rollout.plain_inventory import PlainInventory

_FILES = {"host_group_vars", "ansible.builtin.host_group_vars"}


class AnsibleHosts:
    """The hosts of an inventory. Whatever Ansible raises comes through as AnsibleError."""

    def __init__(self, sources: list[str], names: tuple[str, ...]) -> None:
        """Read ``sources``, and of their hosts the variables ``names``."""
        if not AnsibleCollectionConfig.collection_finder:
            init_plugin_loader()
        self._sources, self._names = sources, names
        self._loader = DataLoader()
        _set_vault_secrets(self._loader)
        self._manager = _Manager(self._loader, sources, parse=False)
        with garbage_stays():
            self._read()
        self._of_groups: dict[tuple[int, ...], dict[str, Any]] = {}
        self._may_have_files = _names_in_host_vars(sources)
        self._plugin_variables([])  # Ansible loads its vars plugins at the first use, unless they were listed
        plugins = [plugin.ansible_name for plugin in vars_loader.all()]
        self._other_plugins = bool({*plugins, *constants.VARIABLE_PLUGINS_ENABLED} - _FILES)

    def matching(self, pattern: str) -> list[str]:
        """Return the names of the hosts that match, in the order in which the sources first name them."""
        matching = {host.name for host in self._manager.get_hosts(pattern)}
        return [name for name in self._manager.hosts if name in matching]

    def variables(self, name: str) -> dict[str, Any]:
        """Return what the inventory sets of the wanted variables of a host, templates as they are written."""
        host = self._manager.hosts[name]
        variables = self._group_variables(host) | self._wanted(host.vars)
        if name in self._may_have_files or self._other_plugins:
            variables |= self._plugin_variables([host])
        return variables

    def _read(self) -> None:
        if constants.RUN_VARS_PLUGINS == "start":
            self._manager.parse_sources()
            return
        # The same, without asking the vars plugins about every host to be told that it is too early.
        for source in self._sources:
            self._manager.parse_source(source)
        self._manager.reconcile_inventory()

    def _group_variables(self, host: Host) -> dict[str, Any]:
        key = tuple(sorted(map(id, host.groups)))
        if key not in self._of_groups:
            self._of_groups[key] = self._merge_groups(host)
        return self._of_groups[key]

    def _merge_groups(self, host: Host) -> dict[str, Any]:
        everyone = self._manager.groups["all"]
        groups = sort_groups([group for group in host.groups if group is not everyone])
        merged: dict[str, Any] = {}
        for entry in constants.VARIABLE_PRECEDENCE:
            if entry == "all_inventory":
                merged |= self._wanted(everyone.vars)
            elif entry == "groups_inventory":
                merged |= self._wanted(get_group_vars(groups))
            elif entry == "all_plugins_inventory":
                merged |= self._plugin_variables([everyone])
            elif entry == "groups_plugins_inventory":
                merged |= self._plugin_variables(groups)
        return merged

    def _plugin_variables(self, entities: list[Any]) -> dict[str, Any]:
        found = get_vars_from_inventory_sources(self._loader, self._sources, entities, "task")
        return self._wanted(found)

    def _wanted(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {name: variables[name] for name in self._names if name in variables}


class _Manager(InventoryManager):  # type: ignore[misc]
    def _fetch_inventory_plugins(self) -> list[Any]:
        plugins: list[Any] = super()._fetch_inventory_plugins()
        return [PlainInventory(), *plugins] if PlainInventory.allowed() else plugins


def _set_vault_secrets(loader: DataLoader) -> None:
    """Give ``loader`` the passwords that Ansible's configuration names."""
    identities, file = constants.DEFAULT_VAULT_IDENTITY_LIST, constants.DEFAULT_VAULT_PASSWORD_FILE
    if identities or file:
        from ansible.cli import CLI  # type: ignore[import-untyped] # slow, and sets up a command line

        loader.set_vault_secrets(CLI.setup_vault_secrets(loader, list(identities), auto_prompt=False))


def _names_in_host_vars(sources: list[str]) -> set[str]:
    """Return a superset of the hosts that have a file or directory in host_vars."""
    names = set()
    for source in map(Path, sources):
        directory = (source if source.is_dir() else source.parent) / "host_vars"
        for entry in directory.iterdir() if directory.is_dir() else ():
            names |= {entry.name, entry.stem}
    return names


@contextmanager
def garbage_stays() -> Iterator[None]:
    """Halve the time that it takes to make a million objects that stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
