"""The stores of an Ansible inventory, as a rollout sees them."""

from __future__ import annotations

import sys
import zoneinfo
from contextlib import redirect_stderr
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovms_edge.errors import EdgeError
from ovms_edge.rollout.stores import DEFAULT_TIMEZONE, Store

if TYPE_CHECKING:
    from ovms_edge.rollout.ansible_hosts import AnsibleHosts

_NAMES = ("store_region", "store_timezone", "store_hardware", "store_tags")


class Inventory:
    """The stores of an inventory that was read once, to be asked by any number of patterns."""

    def __init__(self, hosts: AnsibleHosts, said: str) -> None:
        """``hosts`` is where they come from, and ``said`` names that for messages."""
        self._hosts, self._said = hosts, said
        self._stores: dict[str, Store] = {}

    @classmethod
    def load(cls, path: Path | str | None) -> Inventory:
        """Read ``path``, a file or directory; None: what Ansible's configuration names. Raises EdgeError.

        Ansible's warnings go to stderr, as from its own commands.
        """
        # Ansible takes its time to be imported, and reads ansible.cfg then.
        from ansible import constants  # type: ignore[import-untyped]
        from ansible.errors import AnsibleError  # type: ignore[import-untyped]

        from ovms_edge.rollout.ansible_hosts import AnsibleHosts

        sources = [str(path)] if path else [str(source) for source in constants.DEFAULT_HOST_LIST]
        missing = [source for source in sources if "," not in source and not Path(source).exists()]
        if missing:
            remedy = "correct -i" if path else "give one with -i, or name it in ansible.cfg"
            raise EdgeError(f"there is no inventory {missing[0]}", remedy)
        said = ", ".join(sources)
        try:
            hosts = AnsibleHosts([_absolute(source) for source in sources], _NAMES)
        except AnsibleError as error:
            raise _unreadable(said, error) from error
        return cls(hosts, said)

    def stores(self, pattern: str) -> list[Store]:
        """Return the stores that match an Ansible pattern, in the inventory's order; raises EdgeError."""
        from ansible.errors import AnsibleError

        from ovms_edge.rollout.ansible_hosts import garbage_stays

        names = self._matching(pattern)
        try:
            with garbage_stays():
                return [self._store(name) for name in names]
        except AnsibleError as error:
            raise _unreadable(self._said, error) from error

    def _matching(self, pattern: str) -> list[str]:
        from ansible.errors import AnsibleError

        warnings = StringIO()
        remedy = "correct the pattern or -i; ansible-inventory --graph shows groups and hosts"
        try:
            with redirect_stderr(warnings):
                names = self._hosts.matching(pattern)
        except AnsibleError as error:
            raise EdgeError(f"{pattern!r} is no pattern of hosts: {_line(error)}", remedy) from error
        if not names:
            raise EdgeError(f"no store in the inventory {self._said} matches {pattern!r}", remedy)
        sys.stderr.write(warnings.getvalue())
        return names

    def _store(self, name: str) -> Store:
        if name not in self._stores:
            self._stores[name] = _store_of(name, self._hosts.variables(name))
        return self._stores[name]


def load_stores(path: Path | str | None, pattern: str) -> list[Store]:
    """Return the stores of the inventory ``path`` that match ``pattern``; raises EdgeError."""
    return Inventory.load(path).stores(pattern)


def _store_of(name: str, variables: dict[str, Any]) -> Store:
    words = {
        variable: _text(name, variable, value)
        for variable in _NAMES[:3]
        if (value := variables.get(variable)) is not None
    }
    timezone = words.get("store_timezone", DEFAULT_TIMEZONE)
    if not _is_timezone(timezone):
        raise EdgeError(
            f"{name}: store_timezone is {timezone!r}, which is no time zone",
            "give a name of the IANA database, such as Europe/Berlin",
        )
    return Store(
        name=name,
        region=words.get("store_region", ""),
        timezone=timezone,
        hardware=words.get("store_hardware", ""),
        tags=_tags(name, variables.get("store_tags")),
    )


def _tags(store: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise EdgeError(f"{store}: store_tags is {value!r}", "write a list, such as store_tags: [canary]")
    return tuple(_text(store, "store_tags", tag) for tag in value)


def _text(store: str, variable: str, value: Any) -> str:
    if not isinstance(value, str):
        raise EdgeError(f"{store}: {variable} has {value!r}, which is no text", "put quotes around it")
    if "{{" in value or "{%" in value:
        raise EdgeError(f"{store}: {variable} is a template, {value!r}", "write the value itself")
    return sys.intern(str(value))


@lru_cache
def _is_timezone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _unreadable(said: str, error: Exception) -> EdgeError:
    remedy = "ansible-inventory --list on it shows where; a vault's password has to be in ansible.cfg"
    return EdgeError(f"Ansible cannot read the inventory {said}: {_line(error)}", remedy)


def _absolute(source: str) -> str:
    return source if "," in source else str(Path(source).absolute())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
