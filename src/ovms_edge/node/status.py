"""What this node knows of withdrawn releases. It never goes back to an earlier list.

Whoever keeps lists from a node can keep it from learning of a revocation, but cannot undo one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.node.config import NodeConfig
from ovms_edge.node.files import write_atomic
from ovms_edge.node.output import log
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.signature import verify_signature
from ovms_edge.node.source import SignedDocument, Source
from ovms_edge.status_list import StatusList

_ATTACK = "see who writes to the depot, or what lies between; issue a new list with ovms-edge release revoke"


@dataclass(frozen=True)
class _Known:
    status: StatusList
    signed: SignedDocument


def current_status(config: NodeConfig, source: Source, name: str, *, keep: bool = True) -> StatusList | None:
    """Return the status list of ``name`` as the source has it now; None if there never was one.

    Kept from then on, unless ``keep`` is False. Raises EdgeError if it is older than one seen before, gone,
    or signed by nobody whom the node trusts.
    """
    known = _kept(config, name)
    signed = source.status_list(name)
    if signed is None:
        if known is None:
            return None
        raise EdgeError(f"the status list of {name} is gone: serial {known.status.serial} was seen", _ATTACK)
    status = _verified(config, name, signed)
    if known is not None:
        if status.serial < known.status.serial:
            raise EdgeError(
                f"the status list of {name} has serial {status.serial}: {known.status.serial} was seen",
                _ATTACK,
            )
        if status.serial == known.status.serial and signed.data != known.signed.data:
            raise EdgeError(f"there are two status lists of {name} with serial {status.serial}", _ATTACK)
    if keep and (known is None or known.status.serial < status.serial):
        _keep(config, name, signed)
    return status


def last_status(config: NodeConfig, source: Source, name: str, *, keep: bool = True) -> StatusList | None:
    """Return the current status list, or the last one seen where the source cannot be reached."""
    try:
        return current_status(config, source, name, keep=keep)
    except EdgeError as error:
        known = _kept(config, name)
        log(f"{error.reason}; going by {f'serial {known.status.serial}' if known else 'none'}, seen before")
        return known.status if known else None


def kept_status(config: NodeConfig, name: str) -> StatusList | None:
    """Return the last status list seen, with nobody asked; None if there is none that holds."""
    known = _kept(config, name)
    return known.status if known else None


def refuse_revoked(status: StatusList | None, ref: ReleaseRef) -> None:
    """Raise EdgeError if ``ref`` was withdrawn."""
    entry = status.revocation(ref.version) if status else None
    if entry:
        raise EdgeError(
            f"{ref} was revoked on {entry.at}: {entry.reason}", "choose another release; what serves stays"
        )


def _kept(config: NodeConfig, name: str) -> _Known | None:
    path = StatePaths(config.state_dir).status(name)
    try:
        document = json.loads(path.read_bytes())
        signed = SignedDocument(document["list"].encode(), document["signature"].encode())
        return _Known(_verified(config, name, signed), signed)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, EdgeError) as error:
        # a signer may have been taken from the node's trust since: then its lists count no more
        log(f"{path} does not hold any more and is left out: {error}")
        return None


def _keep(config: NodeConfig, name: str, signed: SignedDocument) -> None:
    path = StatePaths(config.state_dir).status(name)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    document = {"list": signed.data.decode(), "signature": signed.signature.decode()}
    write_atomic(path, json.dumps(document).encode() + b"\n", 0o644)


def _verified(config: NodeConfig, name: str, signed: SignedDocument) -> StatusList:
    verify_signature(f"the status list of {name}", signed.data, signed.signature, config.trust)
    status = StatusList.from_bytes(signed.data)
    if status.name != name:
        raise EdgeError(f"the status list of {name} is that of {status.name}", _ATTACK)
    return status
