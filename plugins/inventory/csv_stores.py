# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
name: csv_stores
short_description: Stores from a CSV file
version_added: 0.1.0
author:
  - ovms-edge authors (@ovms-edge)
description:
  - Reads stores and their variables from a CSV file, in UTF-8 with or without a byte order mark.
  - The inventory is a YAML file (C(.yml) or C(.yaml)) that names this plugin and the CSV file.
  - The first line names the columns. Column C(store) has the names of the stores and must be there; every
    other column is the variable of that name. Rollouts know a store by C(store_region), C(store_timezone),
    C(store_hardware) and C(store_tags).
  - An empty cell sets nothing, so that a group's variable counts. Spaces around a cell, and lines of empty
    cells, are ignored.
  - C(store_tags) is a list, of tags with V(;) or spaces between them. The other three and C(ansible_host) are
    text. In all other columns a cell of JSON is what JSON says (V(8022), V(2.5), V(true), V(["a"]),
    V("2025.4")), and anything else is text, such as V(007), V(22:00), V(1e5) and V(yes).
  - No cell is a template.
options:
  plugin:
    description: That this file is for this plugin.
    type: str
    required: true
    choices: [ovms.edge.csv_stores]
  path:
    description: The CSV file, relative to this one.
    type: str
    required: true
  delimiter:
    description: What stands between cells; many spreadsheets write V(;).
    type: str
    default: ","
  group:
    description: The group of all stores.
    type: str
    default: stores
  keyed_groups:
    description:
      - Groups by value, children of O(group). Each entry has C(key), a column, and may have C(prefix) (empty
        by default) and C(separator) (V(_) by default, left out if there is no prefix).
      - As other plugins do it, but C(key) is the name of a column and no expression. A list gives a group for
        each of its values, an empty cell none.
    type: list
    elements: dict
    default:
      - {key: store_region, prefix: region}
      - {key: store_hardware, prefix: hardware}
"""

EXAMPLES = r"""
# inventory/mine/stores.yml, for inventory/mine/stores.csv, such as
#   store,ansible_host,store_region,store_timezone,store_hardware,store_tags
#   store-001,192.0.2.11,north,Europe/Berlin,mtl-32,canary;flagship
plugin: ovms.edge.csv_stores
path: stores.csv

---
# Semicolons between cells, and a group for each tag, too (tag_canary)
plugin: ovms.edge.csv_stores
path: stores.csv
delimiter: ";"
keyed_groups:
  - {key: store_region, prefix: region}
  - {key: store_hardware, prefix: hardware}
  - {key: store_tags, prefix: tag}
"""

import functools
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin

from ansible_collections.ovms.edge.plugins.plugin_utils._stores_csv import TableError, read_stores


class InventoryModule(BaseInventoryPlugin):
    """See DOCUMENTATION."""

    NAME = "ovms.edge.csv_stores"

    def verify_file(self, path: str) -> bool:
        """Return whether ``path`` may be for this plugin; what it says as ``plugin`` decides."""
        return bool(super().verify_file(path)) and path.endswith((".yml", ".yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Add all that the CSV file says to ``inventory``, or nothing; raises AnsibleParserError."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        keys = [_key(entry) for entry in self.get_option("keyed_groups")]
        stores = self._stores(Path(path).parent)
        everyone = inventory.add_group(self.get_option("group"))

        @functools.cache
        def group_of(name: str) -> str:
            group: str = inventory.add_group(self._sanitize_group_name(name))
            inventory.add_child(everyone, group)
            return group

        for store, variables in stores.items():
            inventory.add_host(store, everyone)
            # Not set_variable(): it prepares each value for templates, which no cell is, and takes longer
            # than all the rest.
            inventory.hosts[store].vars.update(variables)
            for column, prefix in keys:
                value = variables.get(column, [])
                for name in value if isinstance(value, list) else [value]:
                    inventory.add_child(group_of(f"{prefix}{name}"), store)

    def _stores(self, directory: Path) -> dict[str, dict[str, Any]]:
        delimiter = self.get_option("delimiter")
        if len(delimiter) != 1:
            raise AnsibleParserError(f"delimiter is {delimiter!r}; give one character")
        try:
            return read_stores(directory / Path(self.get_option("path")).expanduser(), delimiter)
        except OSError as error:
            raise AnsibleParserError(
                f"cannot read {error.filename}: {error.strerror}; correct path"
            ) from error
        except TableError as error:
            raise AnsibleParserError(str(error)) from error


def _key(entry: dict[str, Any]) -> tuple[str, str]:
    """Return the column, and what stands before its value in the name of a group."""
    column, prefix = str(entry.get("key")), entry.get("prefix", "")
    unknown = sorted(entry.keys() - {"key", "prefix", "separator"})
    if unknown or "key" not in entry or not column.isidentifier():
        raise AnsibleParserError(f"keyed_groups has {entry}; give key, a column, and prefix, separator")
    return column, f"{prefix}{entry.get('separator', '_')}" if prefix else ""
