"""Where the lab lives and what may be set from the environment."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import UsageError

OVMS_VERSION = "2025.4.1"
DEPOT_PORT = 5000
DEPOT_USER = "ovms-edge"
BASES = ("mmdebstrap", "pull")

_SUBNET = ipaddress.IPv4Network("10.213.77.0/24")
_DEPOT_HOST = 2  # .1 is the bridge
_FIRST_STORE_HOST = 11
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")  # as the first part of an image's name may be


@dataclass(frozen=True)
class Settings:
    """The lab of one checkout."""

    project: Path
    name: str = "ovms-lab"
    subnet: ipaddress.IPv4Network = _SUBNET
    base: str = "mmdebstrap"

    @classmethod
    def from_environment(cls, project: Path, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read OVMS_LAB_NAME, OVMS_LAB_SUBNET and OVMS_LAB_BASE; raises UsageError on a wrong value."""
        base = environment.get("OVMS_LAB_BASE", cls.base)
        if base not in BASES:
            raise UsageError(f"OVMS_LAB_BASE is {base!r}", f"set it to {' or '.join(BASES)}, or unset it")
        text = environment.get("OVMS_LAB_SUBNET", str(cls.subnet))
        try:
            subnet = ipaddress.IPv4Network(text)
        except ValueError as error:
            raise UsageError(
                f"OVMS_LAB_SUBNET is {text!r}: {error}", "write an IPv4 network such as 10.213.77.0/24"
            ) from error
        if subnet.prefixlen > 26:
            raise UsageError(f"OVMS_LAB_SUBNET {subnet} is too small for a fleet", "use a /26 or larger")
        name = environment.get("OVMS_LAB_NAME", cls.name)
        if not _NAME.fullmatch(name):
            raise UsageError(f"OVMS_LAB_NAME is {name!r}", "use lower-case letters, digits and dashes")
        return cls(project, name, subnet, base)

    @property
    def home(self) -> Path:
        return self.project / ".lab"

    @property
    def logs(self) -> Path:
        return self.home / "log"

    @property
    def inventory(self) -> Path:
        return self.project / "inventory" / "lab"

    @property
    def depot_address(self) -> str:
        return str(self.subnet[_DEPOT_HOST])

    @property
    def depot_registry(self) -> str:
        """What stands before an image's name: HOST:PORT."""
        return f"{self.depot_address}:{DEPOT_PORT}"

    @property
    def depot_url(self) -> str:
        return f"https://{self.depot_registry}"

    def image(self, name: str) -> str:
        """Tag of one of the lab's own images; labs of other names on the same engine have their own."""
        return f"{self.name}/{name}"

    @property
    def server_image(self) -> str:
        """The OVMS stand-in under the name that stores pull it by."""
        return f"{self.depot_registry}/openvino/model_server:{OVMS_VERSION}-gpu"

    @property
    def store_addresses(self) -> list[str]:
        """Every address that a store may have, in the order they are given out."""
        return [str(self.subnet[n]) for n in range(_FIRST_STORE_HOST, self.subnet.num_addresses - 1)]
