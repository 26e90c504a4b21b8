"""What Ansible's inventory plugin ``yaml`` does, for a file that has nothing odd in it, many times as fast.

Ansible notes of each value where it stands and whether it may be a template, and copies the whole file: two
minutes and 2 GiB for 100,000 hosts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible import constants  # type: ignore[import-untyped]
from ansible.plugins.inventory import BaseInventoryPlugin  # type: ignore[import-untyped]

from ovms_edge.rollout.plain_yaml import NotPlainError, read_plain

_SECTIONS = {"hosts", "vars", "children"}
_TEMPLATES = ("{{", "{%", "{#")
_OTHERS = ("#!", "{")  # programs, and JSON, whose scalars are not quite those of YAML
_ONE_HOST = re.compile(r"[A-Za-z0-9._-]+")  # neither a range nor a port
_YAML = {"yaml", "ansible.builtin.yaml"}


class PlainInventory(BaseInventoryPlugin):  # type: ignore[misc]
    """Takes only files whose meaning is beyond doubt; the others are left to Ansible, with its warnings."""

    NAME = _load_name = _original_path = "ovms_edge.plain_inventory"
    _groups: dict[str, Any] | None = None

    @staticmethod
    def allowed() -> bool:
        """Return whether Ansible's configuration leaves the meaning of such a file as it is."""
        enabled = bool(_YAML.intersection(constants.INVENTORY_ENABLED))
        return enabled and constants.DEFAULT_HASH_BEHAVIOUR == "replace"

    def verify_file(self, path: str) -> bool:
        """Return whether ``path`` is such a file."""
        self._groups = _plain_groups(Path(path)) if path.endswith((".yml", ".yaml")) else None
        return self._groups is not None

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add the file's groups and hosts."""
        super().parse(inventory, loader, path, cache)
        for name, group in (self._groups or {}).items():
            self._add(name, group)
        self._groups = None

    def _add(self, name: str, group: dict[str, Any] | None) -> str:
        added: str = self.inventory.add_group(name)
        for section, content in (group or {}).items():
            for key, value in (content or {}).items():
                if section == "vars":
                    self.inventory.set_variable(added, key, value)
                elif section == "children":
                    self.inventory.add_child(added, self._add(key, value))
                else:
                    self._add_hosts(added, key, value)
        return added

    def _add_hosts(self, group: str, pattern: str, variables: dict[str, Any] | None) -> None:
        hosts, port = ([pattern], None) if _ONE_HOST.fullmatch(pattern) else self._expand_hostpattern(pattern)
        for host in hosts:
            self.inventory.add_host(host, group=group, port=port)
            if variables:
                self.inventory.hosts[host].vars.update(variables)


def _plain_groups(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_text(encoding="utf-8")
        if text.startswith(_OTHERS) or any(mark in text for mark in _TEMPLATES):
            return None
        groups = read_plain(text)
    except (OSError, UnicodeDecodeError, NotPlainError):
        return None
    plain = isinstance(groups, dict) and "plugin" not in groups and all(map(_is_group, groups.values()))
    return groups if plain else None


def _is_group(group: Any) -> bool:
    if group is None:
        return True
    if not isinstance(group, dict) or not group.keys() <= _SECTIONS:
        return False
    contents = [content for content in group.values() if content is not None]
    if not all(isinstance(content, dict) for content in contents):
        return False
    hosts, variables = group.get("hosts") or {}, group.get("vars") or {}
    return (
        _are_variables(variables)
        and all(
            value is None or (isinstance(value, dict) and _are_variables(value)) for value in hosts.values()
        )
        and all(map(_is_group, (group.get("children") or {}).values()))
    )


def _are_variables(variables: dict[str, Any]) -> bool:
    return all(name.isidentifier() and name.isascii() for name in variables)
