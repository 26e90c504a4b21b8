"""An apt repository on a store, signed: the distribution's packages under other names and versions.

Contents and maintainer scripts are as they were: installing one does what installing the real one does.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tests.e2e.fault_store import FaultStore

_DEBS = "/srv/debs"
_GPG = "gpg --homedir /srv/apt-keys --batch --quiet"
# What a package says of itself, and where and how it is.
_STANZA = """\
dpkg-deb --field "$deb"
printf 'Filename: %s\\nSize: %s\\n' "$deb" "$(stat -c %s "$deb")"
printf 'SHA256: %s\\n\\n' "$(sha256sum "$deb" | cut -d ' ' -f 1)"
"""
_RELEASE = """\
printf 'Origin: {origin}\\nSuite: {suite}\\nCodename: {suite}\\n'
printf 'Architectures: amd64\\nComponents: {component}\\nDate: %s\\nSHA256:\\n' "$(date -Ru)"
list={component}/binary-amd64/Packages
printf ' %s %s %s\\n' "$(sha256sum "$list" | cut -d ' ' -f 1)" "$(stat -c %s "$list")" "$list"
"""


@dataclass(frozen=True)
class AptRepository:
    """Apt finds it at ``file:ROOT``, a directory on the store; ``origin`` is what pins may name."""

    store: FaultStore
    root: str
    origin: str
    suite: str = "trixie"
    component: str = "stable"

    def add(self, package: str, version: str, from_deb: str, **fields: str) -> AptRepository:
        """Put in what apt has as ``from_deb``, with other control ``fields``; a blank one is left out."""
        wanted = {"Package": package, "Version": version, **fields}
        edits = [f"sed -i {shlex.quote(f'/^{name}:/d')} work/DEBIAN/control" for name in wanted]
        lines = [f"{name}: {value}" for name, value in wanted.items() if value]
        edits += [f"echo {shlex.quote(line)} >> work/DEBIAN/control" for line in lines]
        deb = f"{self.root}/pool/{package}_{version.rpartition(':')[2]}.deb"
        self.store.shell(
            f"set -eu; mkdir -p {self.root}/pool {_DEBS}; cd {_DEBS}; "
            f"ls {from_deb}_*.deb >/dev/null 2>&1 || apt-get -qq download {from_deb}; "
            f"[ -d {from_deb} ] || dpkg-deb --raw-extract {from_deb}_*.deb {from_deb}; "
            f"rm -rf work; cp -al {from_deb} work; {'; '.join(edits)}; "
            f"dpkg-deb --root-owner-group -Znone --build work {deb} >/dev/null"
        )
        return self

    def publish(self) -> str:
        """Write and sign the lists; return the armored key. To be done again after further ``add``."""
        key, lists = self.key(), f"{self.root}/dists/{self.suite}"
        packages = f"{lists}/{self.component}/binary-amd64"
        release = _RELEASE.format(origin=self.origin, suite=self.suite, component=self.component)
        self.store.shell(
            f"set -eu; cd {self.root}; mkdir -p {packages}; "
            f"for deb in pool/*.deb; do {_STANZA} done > {packages}/Packages; "
            f"cd {lists}; {{ {release} }} > Release.new; mv Release.new Release; "
            f"{_GPG} --yes --local-user =repository --clearsign --output InRelease Release"
        )
        return key

    def key(self, name: str = "repository") -> str:
        """Return an armored public key, made if there is none; the one of name ``repository`` signs."""
        install = "apt-get install -qq -y --no-install-recommends gpg gpg-agent >/dev/null 2>&1"
        return self.store.shell(
            f"set -eu; command -v gpg >/dev/null || {install}; mkdir -p -m 700 /srv/apt-keys; "
            f"{_GPG} --list-keys ={name} >/dev/null 2>&1 || "
            f"{_GPG} --passphrase '' --quick-generate-key {name} rsa2048 sign never 2>/dev/null; "
            f"{_GPG} --armor --export ={name}"
        )

    def fingerprint(self, name: str = "repository") -> str:
        """Return the fingerprint of a key that was made, as gpg says it."""
        listed = self.store.shell(f"{_GPG} --with-colons --list-keys ={name}")
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
