"""Keys, certificates and passwords of the lab, each made once."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

from . import files
from .settings import DEPOT_USER, Settings
from .shell import run

_DAYS = "3650"


def ssh_key(settings: Settings) -> Path:
    """The controller's key, that every store lets in."""
    return settings.home / "ssh" / "id_ed25519"


def depot_ca(settings: Settings) -> Path:
    return settings.home / "depot" / "ca.pem"


def depot_password(settings: Settings) -> Path:
    return settings.home / "depot" / "password"


def ensure(settings: Settings) -> None:
    """All of them; what is there already stays."""
    for private in ("ssh", "signer", "depot"):
        (settings.home / private).mkdir(parents=True, exist_ok=True, mode=0o700)
    _ensure_ssh_key(ssh_key(settings), "ovms-lab")
    signer = settings.home / "signer" / "id_ed25519"
    _ensure_ssh_key(signer, "release@ovms-lab")
    kind, public = signer.with_suffix(".pub").read_text().split()[:2]
    files.write(
        settings.home / "signer" / "allowed_signers",
        f'release@ovms-lab namespaces="ovms-edge-release" {kind} {public}\n',
    )
    if not depot_password(settings).exists():
        files.write(depot_password(settings), secrets.token_urlsafe(24) + "\n", 0o600)
    _ensure_certificate(settings)


def _ensure_ssh_key(path: Path, comment: str) -> None:
    public = path.with_suffix(".pub")
    if not path.exists():
        # Made beside and moved into place: a key that is there is whole.
        with tempfile.TemporaryDirectory(dir=path.parent) as draft:
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", f"{draft}/key"])
            Path(f"{draft}/key").replace(path)
    if not public.exists():
        files.write(public, run(["ssh-keygen", "-y", "-f", path]))


def _ensure_certificate(settings: Settings) -> None:
    """A CA of the lab and the depot's certificate under it, for its address and its name."""
    directory = settings.home / "depot"
    names = f"IP:{settings.depot_address},DNS:depot.lab"
    if (directory / "names").exists() and (directory / "names").read_text().strip() == names:
        return
    with tempfile.TemporaryDirectory(dir=directory) as text:
        draft = Path(text)
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", _DAYS, "-subj", "/CN=ovms-lab CA", "-keyout", draft / "ca.key",
             "-out", draft / "ca.pem", "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign"])  # fmt: skip
        run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-subj", "/CN=depot.lab", "-keyout", draft / "server.key",
             "-out", draft / "server.csr"])  # fmt: skip
        (draft / "extensions").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")
        run(["openssl", "x509", "-req", "-in", draft / "server.csr", "-CA", draft / "ca.pem", "-CAkey",
             draft / "ca.key", "-CAcreateserial", "-days", _DAYS, "-extfile", draft / "extensions",
             "-out", draft / "server.pem"])  # fmt: skip
        for name, mode in (("ca.pem", 0o644), ("server.pem", 0o644), ("server.key", 0o600)):
            files.write(directory / name, (draft / name).read_text(), mode)
    # Last, so that it stands for all the others; the CA's key is not kept.
    files.write(directory / "names", names + "\n")


def login(settings: Settings) -> tuple[str, str]:
    """User and password at the depot."""
    return DEPOT_USER, depot_password(settings).read_text().strip()
