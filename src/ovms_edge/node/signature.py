"""Signatures of releases: OpenSSH's ``ssh-keygen -Y``, which every host with SSH has."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import SIGNATURE_NAMESPACE
from ovms_edge.node.config import Trust

_RESIGN = "sign it with a key whose public half is in node_agent_allowed_signers, and publish it again"


def verify_signature(what: object, data: bytes, signature: bytes, trust: Trust) -> str:
    """Return the principal who signed ``data``; ``what`` it is is for messages.

    Raises EdgeError if the key is not among the allowed signers, is revoked, expired or not meant for this
    namespace, or if the data is not what was signed.
    """
    allowed_signers, revoked = trust.allowed_signers, trust.revoked_signers
    for file in (allowed_signers, *([revoked] if revoked else [])):
        if not file.is_file():
            raise EdgeError(f"no {file}", "install the node with the role ovms.edge.node_agent")
    with tempfile.TemporaryDirectory(prefix="ovms-node-") as directory:
        signature_file = Path(directory) / "signature"
        signature_file.write_bytes(signature)
        found = _ssh_keygen(["find-principals", "-f", str(allowed_signers), "-s", str(signature_file)], b"")
        if found.returncode != 0:
            raise EdgeError(
                f"{what} is signed by nobody in {allowed_signers}: {_said(found)}",
                _RESIGN,
            )
        result = found
        for principal in found.stdout.decode(errors="replace").splitlines():
            arguments = ["verify", "-f", str(allowed_signers), "-I", principal, "-n", SIGNATURE_NAMESPACE]
            revocation = ["-r", str(revoked)] if revoked else []
            result = _ssh_keygen([*arguments, *revocation, "-s", str(signature_file)], data)
            if result.returncode == 0:
                return principal
    raise EdgeError(f"signature of {what} does not hold: {_said(result)}", _RESIGN)


def _ssh_keygen(arguments: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", "-Y", *arguments], input=stdin, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise EdgeError("ssh-keygen is not installed", "install openssh-client") from error


def _said(result: subprocess.CompletedProcess[bytes]) -> str:
    lines = (result.stderr + result.stdout).decode(errors="replace").strip().splitlines()
    return "; ".join(line.strip() for line in lines) or f"ssh-keygen ended with {result.returncode}"
