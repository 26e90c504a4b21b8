"""Whether this Python has the packages of ``export_requirements.txt``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import metadata

from ovms_edge.errors import EdgeError

_ALWAYS_NEEDED = ("jsonschema", "protobuf")  # read config.json and graph.pbtxt as OVMS does


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each package. Raises EdgeError naming those that are missing."""
    versions: dict[str, str] = {}
    missing = []
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        raise missing_packages(", ".join(missing))
    return versions


def missing_packages(names: str) -> EdgeError:
    """Return the error that says what to install."""
    return EdgeError(
        f"the export needs packages that {sys.executable} has not: {names}",
        f"run {sys.executable} -m pip install -r export_requirements.txt",
    )


def check_requirements() -> None:
    """Raise EdgeError unless there is what every export needs, whatever it converts."""
    package_versions(_ALWAYS_NEEDED)
