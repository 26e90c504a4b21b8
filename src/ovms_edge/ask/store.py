"""How a store is reached, as the Ansible inventory says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError

# ansible-inventory prints variables as they are written; only Ansible itself fills in their templates
_WANTED = {
    "connection": "ansible_connection | default('ssh')",
    "address": "ansible_host | default(inventory_hostname)",
    "user": "ansible_user | default('')",
    "ssh_port": "ansible_port | default(22)",
    "key": "ansible_ssh_private_key_file | default(ansible_private_key_file | default(''))",
    "arguments": "(ansible_ssh_common_args | default('')) ~ ' ' ~ (ansible_ssh_extra_args | default(''))",
}
_MESSAGE = "{{ {" + ", ".join(f"'{name}': {value}" for name, value in _WANTED.items()) + "} }}"
_SECONDS = 60


@dataclass(frozen=True)
class Store:
    """SSH's way to a store."""

    name: str
    ssh: tuple[str, ...]


def find_store(name: str, inventory: Path | None) -> Store:
    """Return the store ``name`` of ``inventory`` (default: Ansible's own setting); raises EdgeError."""
    found = _variables(name, inventory)
    if found["connection"] not in ("ssh", "smart"):
        raise EdgeError(f"{name} is reached by {found['connection']}, not ssh", "give --url instead")
    ssh = ["-p", str(found["ssh_port"]), *shlex.split(found["arguments"])]
    if found["key"]:
        ssh += ["-i", str(Path(found["key"]).expanduser())]
    if found["user"]:
        ssh += ["-l", found["user"]]
    return Store(name, (*ssh, found["address"]))


def _variables(name: str, inventory: Path | None) -> dict[str, Any]:
    command = [sys.executable, "-m", "ansible", "adhoc", name, "-m", "ansible.builtin.debug"]
    command += ["-a", json.dumps({"msg": _MESSAGE})]
    command += ["-i", str(inventory)] if inventory else []
    settings = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"}
    try:
        done = subprocess.run(
            command,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise EdgeError(
            f"the inventory did not tell within {_SECONDS} s how to reach {name}", "try ansible-inventory"
        ) from error
    hosts = re.findall(r"^(\S+) \| (?:SUCCESS|FAILED!) => ", done.stdout, re.MULTILINE)
    if len(hosts) > 1:
        raise EdgeError(
            f"{name} names {len(hosts)} hosts of the inventory", f"give one of them, such as {hosts[0]}"
        )
    # Ansible writes errors of templates before the result
    result = re.search(rf"^{re.escape(name)} \| (?:SUCCESS|FAILED!) => ", done.stdout, re.MULTILINE)
    if not result:
        raise _not_told(name, _last_line(done.stderr or done.stdout))
    message = json.JSONDecoder().raw_decode(done.stdout, result.end())[0]["msg"]
    if not isinstance(message, dict):
        raise _not_told(name, _last_line(str(message)))
    return message


def _not_told(name: str, why: str) -> EdgeError:
    return EdgeError(
        f"the inventory does not tell how to reach {name}: {why}",
        "give the name of one host, and its inventory with -i",
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "ansible said nothing"
