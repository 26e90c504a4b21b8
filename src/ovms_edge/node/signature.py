"""Signatures of releases: OpenSSH's ``ssh-keygen -Y``, which every host with SSH has."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import SIGNATURE_NAMESPACE, ReleaseRef

_RESIGN = "sign it with a key whose public half is in node_agent_allowed_signers, and publish it again"


def verify_signature(ref: ReleaseRef, manifest: bytes, signature: bytes, allowed_signers: Path) -> str:
    """Return the principal who signed ``manifest``.

    Raises EdgeError if the key is not among ``allowed_signers`` (a file as in ssh-keygen(1)), is expired or
    not meant for this namespace, or if the manifest is not what was signed.
    """
    if not allowed_signers.is_file():
        raise EdgeError(f"no {allowed_signers}", "install the node with the role ovms.edge.node_agent")
    with tempfile.TemporaryDirectory(prefix="ovms-node-") as directory:
        signature_file = Path(directory) / "signature"
        signature_file.write_bytes(signature)
        found = _ssh_keygen(["find-principals", "-f", str(allowed_signers), "-s", str(signature_file)], b"")
        if found.returncode != 0:
            raise EdgeError(
                f"{ref} is signed by nobody in {allowed_signers}: {_said(found)}",
                _RESIGN,
            )
        result = found
        for principal in found.stdout.decode(errors="replace").splitlines():
            arguments = ["verify", "-f", str(allowed_signers), "-I", principal, "-n", SIGNATURE_NAMESPACE]
            result = _ssh_keygen([*arguments, "-s", str(signature_file)], manifest)
            if result.returncode == 0:
                return principal
    raise EdgeError(f"signature of {ref} does not hold: {_said(result)}", _RESIGN)


def _ssh_keygen(arguments: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", "-Y", *arguments], input=stdin, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise EdgeError("ssh-keygen is not installed", "install openssh-client") from error


def _said(result: subprocess.CompletedProcess[bytes]) -> str:
    lines = (result.stderr + result.stdout).decode(errors="replace").strip().splitlines()
    return "; ".join(line.strip() for line in lines) or f"ssh-keygen ended with {result.returncode}"
