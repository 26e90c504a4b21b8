"""Registry passwords, as Docker keeps them in config.json (docs.docker.com, `docker login`)."""

from __future__ import annotations

import base64
import binascii
import json
import os
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.oci import Credentials


def default_credentials_file() -> Path:
    """Docker's own: ``$DOCKER_CONFIG/config.json``, else ``~/.docker/config.json``."""
    directory = os.environ.get("DOCKER_CONFIG")
    return (Path(directory) if directory else Path.home() / ".docker") / "config.json"


def read_credentials(path: Path, host: str) -> Credentials | None:
    """Return who to be at ``host`` (HOST or HOST:PORT), or None if the file does not say.

    Raises EdgeError if the file is not as Docker writes it. No message holds what the file holds.
    """
    try:
        document = json.loads(path.read_bytes())
        entries = document.get("auths", {})
        for key, entry in entries.items():
            if _host_of(key) == host:
                return _decode(entry)
    except OSError as error:
        raise EdgeError(
            f"credentials file {path} cannot be read: {error.strerror}",
            "name a Docker config.json with --credentials",
        ) from error
    except (ValueError, AttributeError, TypeError, KeyError):
        raise EdgeError(
            f"credentials file {path} is not a Docker config.json with auths",
            'write {"auths": {"HOST:PORT": {"auth": base64 of user:password}}}, as docker login does',
        ) from None  # the cause could quote the password
    return None


def _host_of(key: str) -> str:
    """Docker writes HOST:PORT, older ones a URL with a path."""
    return key.split("://", 1)[-1].split("/", 1)[0]


def _decode(entry: dict[str, str]) -> Credentials | None:
    if entry.get("auth"):
        try:
            text = base64.b64decode(entry["auth"], validate=True).decode()
        except binascii.Error as error:
            raise ValueError("auth is not base64") from error
        user, colon, password = text.partition(":")
        if not colon:
            raise ValueError("auth has no colon")
        return Credentials(user, password)
    if "username" in entry:
        return Credentials(entry["username"], entry["password"])
    return None  # kept by a credential helper
