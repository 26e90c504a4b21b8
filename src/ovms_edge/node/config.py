"""``node.json``: where this node keeps things, where releases come from, whom it trusts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.node.known_keys import checked_object
from ovms_edge.node.rate import Schedule, parse_schedule
from ovms_edge.oci import checked_depot_url

NODE_CONFIG = Path("/etc/ovms-edge/node.json")
STATE_DIR = Path("/var/lib/ovms-edge")
SYSFS_ROOT = Path("/sys")
_SIGNERS = "/etc/ovms-edge/allowed_signers"


@dataclass(frozen=True)
class DepotServer:
    """One registry. ``ca_file`` is trusted instead of the system's authorities.

    ``credentials_file`` is a Docker ``config.json``; it has what is for this host, if anything.
    """

    url: str
    ca_file: Path | None = None
    credentials_file: Path | None = None


@dataclass(frozen=True)
class Trust:
    """Whose signature counts: files as in ssh-keygen(1), ``revoked_signers`` its revocation file."""

    allowed_signers: Path
    revoked_signers: Path | None = None


@dataclass(frozen=True)
class TransferSettings:
    """Manners on the link. ``give_up_seconds`` without one byte end a transfer (pauses not counted)."""

    schedule: Schedule = field(default_factory=Schedule)
    connections: int = 4
    give_up_seconds: int = 3600


@dataclass(frozen=True)
class NodeConfig:
    """What the role ``node_agent`` wrote. ``mirrors`` are tried in order, before ``depot``.

    ``textfile_directory``: where node_exporter's textfile collector looks; None if there is none.
    """

    state_dir: Path
    sysfs_root: Path
    depot: DepotServer
    trust: Trust
    mirrors: tuple[DepotServer, ...] = ()
    transfer: TransferSettings = field(default_factory=TransferSettings)
    releases_kept: int = 2
    textfile_directory: Path | None = None


def load_node_config(path: Path) -> NodeConfig:
    """Read ``node.json``; raises EdgeError naming the key that is wrong."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise EdgeError(
            f"no {path}",
            "install the node with the role ovms.edge.node_agent, or name another with --node-config",
        ) from error
    except PermissionError as error:
        raise EdgeError(f"{path} is not readable by this user", "run ovms-node as root") from error
    except ValueError as error:
        raise EdgeError(
            f"{path} is not JSON: {error}", "write it again with the role ovms.edge.node_agent"
        ) from error
    known = (
        *("schema", "state_dir", "sysfs_root", "depot", "allowed_signers_file", "revoked_signers_file"),
        *("transfer", "releases_kept", "textfile_directory"),
    )
    document = checked_object(content, known, f"{path}: node setting")
    if document.get("schema") != 1:
        raise EdgeError(f"{path} has schema {document.get('schema')!r}", "this ovms-node reads schema 1")
    depot = checked_object(
        document.get("depot"), ("url", "ca_file", "credentials_file", "mirrors"), f"{path}: depot setting"
    )
    credentials = _optional_path(depot, "credentials_file")
    return NodeConfig(
        state_dir=Path(_text(document, "state_dir", str(STATE_DIR))),
        sysfs_root=Path(_text(document, "sysfs_root", str(SYSFS_ROOT))),
        depot=DepotServer(
            checked_depot_url(str(depot.get("url", ""))), _optional_path(depot, "ca_file"), credentials
        ),
        mirrors=tuple(_mirror(entry, credentials, path) for entry in depot.get("mirrors", ())),
        trust=Trust(
            Path(_text(document, "allowed_signers_file", _SIGNERS)),
            _optional_path(document, "revoked_signers_file"),
        ),
        transfer=_transfer(document.get("transfer", {}), path),
        releases_kept=_count(document, "releases_kept", 2),
        textfile_directory=_textfile_directory(document),
    )


def _mirror(entry: object, credentials: Path | None, path: Path) -> DepotServer:
    document = checked_object(entry, ("url", "ca_file"), f"{path}: mirror setting")
    url = checked_depot_url(str(document.get("url", "")), plain_http=True)
    # what a mirror sends is verified whatever it is; a password is not for everyone on the way
    return DepotServer(
        url, _optional_path(document, "ca_file"), credentials if url.startswith("https:") else None
    )


def _transfer(entry: object, path: Path) -> TransferSettings:
    document = checked_object(
        entry, ("rate", "schedule", "connections", "give_up_seconds"), f"{path}: transfer setting"
    )
    return TransferSettings(
        parse_schedule(document.get("rate"), document.get("schedule", [])),
        _count(document, "connections", 4),
        _count(document, "give_up_seconds", 3600),
    )


def _textfile_directory(document: dict[str, Any]) -> Path | None:
    path = _optional_path(document, "textfile_directory")
    if path is not None and not path.is_absolute():
        raise UsageError(
            f"node setting textfile_directory is {str(path)!r}", "set it to an absolute path, or to null"
        )
    return path


def _count(document: dict[str, Any], key: str, default: int) -> int:
    value = document.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UsageError(f"node setting {key} is {value!r}", "set it to a whole number, 1 or more")
    return value


def _text(document: dict[str, Any], key: str, default: str) -> str:
    value = document.get(key, default)
    if not isinstance(value, str) or not value:
        raise EdgeError(f"node setting {key} is {value!r}", "set it to a path")
    return value


def _optional_path(document: dict[str, Any], key: str) -> Path | None:
    return None if document.get(key) is None else Path(_text(document, key, ""))
