"""OpenSSH signatures over a release manifest, made and read by ssh-keygen (PROTOCOL.sshsig of OpenSSH)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import SIGNATURE_NAMESPACE

_GOOD = re.compile(r'Good "[^"]+" signature with (\S+) key (SHA256:\S+)')


@dataclass(frozen=True)
class Signer:
    """The key that signed: its type, such as ED25519, and its fingerprint, ``SHA256:...``.

    ``principal`` is its name in an allowed-signers file, if one was given that trusts it.
    """

    key_type: str
    fingerprint: str
    principal: str | None = None


def make_signature(data: bytes, key: Path) -> bytes:
    """Sign ``data`` with ``key``, a private key or the public half of one in the SSH agent.

    Asks for a passphrase only on a terminal. Raises EdgeError with what ssh-keygen said.
    """
    with tempfile.TemporaryDirectory(prefix="ovms-edge-sign-") as directory:
        message = Path(directory) / "message"
        message.write_bytes(data)
        done = _ssh_keygen(
            ["-Y", "sign", "-n", SIGNATURE_NAMESPACE, "-f", str(key), str(message)],
            interactive=sys.stdin.isatty(),
        )
        if done.returncode != 0:
            raise _cannot_sign(key, done.stderr)
        return message.with_name("message.sig").read_bytes()


def read_signature(data: bytes, signature: bytes) -> Signer | None:
    """Return who made ``signature`` over exactly ``data``, or None if nobody did. Trusts any key."""
    with _signature_file(signature) as path:
        done = _ssh_keygen(["-Y", "check-novalidate", "-n", SIGNATURE_NAMESPACE, "-s", path], data)
    good = _GOOD.search(done.stdout)
    return Signer(good[1], good[2]) if done.returncode == 0 and good else None


def find_principal(data: bytes, signature: bytes, allowed_signers: Path) -> str | None:
    """Return the principal in ``allowed_signers`` whose valid signature this is, or None."""
    if not allowed_signers.is_file():
        raise EdgeError(f"no allowed-signers file {allowed_signers}", "name the file that the nodes trust")
    with _signature_file(signature) as path:
        found = _ssh_keygen(["-Y", "find-principals", "-s", path, "-f", str(allowed_signers)])
        for principal in found.stdout.split():
            verify = ["-Y", "verify", "-n", SIGNATURE_NAMESPACE, "-I", principal]
            done = _ssh_keygen([*verify, "-s", path, "-f", str(allowed_signers)], data)
            if done.returncode == 0:
                return principal
    return None


def key_fingerprint(key: Path) -> str:
    """Return ``SHA256:...`` of a key file; works without the passphrase."""
    if not key.is_file():
        raise EdgeError(f"no key {key}", "make one: ssh-keygen -t ed25519 -f FILE")
    done = _ssh_keygen(["-l", "-f", str(key)])
    fields = done.stdout.split()
    if done.returncode != 0 or len(fields) < 2:
        raise EdgeError(
            f"{key} is no SSH key: {_last_line(done.stderr)}", "make one: ssh-keygen -t ed25519 -f FILE"
        )
    return fields[1]


def _cannot_sign(key: Path, stderr: str) -> EdgeError:
    if "passphrase" in stderr:
        return EdgeError(
            f"{key} has a passphrase that nobody can be asked for here, and the SSH agent does not hold it",
            f"add it to the agent (ssh-add {key}) and sign again",
        )
    if "UNPROTECTED PRIVATE KEY" in stderr:
        return EdgeError(f"{key} can be read by others, so ssh-keygen ignores it", f"chmod 600 {key}")
    if "No private key found" in stderr:
        return EdgeError(
            f"{key} is a public key whose private half is in no agent",
            "name the private key file, or add it to the SSH agent with ssh-add",
        )
    return EdgeError(f"{key} cannot sign: {_last_line(stderr)}", "name a private SSH key that you may use")


def _ssh_keygen(
    arguments: list[str], data: bytes = b"", interactive: bool = False
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}
    if not interactive:
        environment["SSH_ASKPASS_REQUIRE"] = "never"
    try:
        done = subprocess.run(
            ["ssh-keygen", *arguments],
            input=None if interactive else data,
            capture_output=True,
            env=environment,
            start_new_session=not interactive,  # without a terminal there is nobody to ask
            check=False,
        )
    except FileNotFoundError as error:
        raise EdgeError("ssh-keygen is not installed", "install the package openssh-client") from error
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@contextmanager
def _signature_file(signature: bytes) -> Iterator[str]:
    """Yield a path: ssh-keygen reads signatures from files only."""
    with tempfile.NamedTemporaryFile(prefix="ovms-edge-", suffix=".sig") as stream:
        stream.write(signature)
        stream.flush()
        yield stream.name


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "ssh-keygen gave no reason"
