"""A signed apt repository on a store, with packages that stand in for kernels, firmware and the like.

Their names, suites and components are those of the real archives; what is in them is only what a host shows
of having them: a module's file, a firmware's file. Built on the store itself, by its own dpkg and gpg.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.e2e.fault_store import FaultStore

ROOT = "/srv/apt"
KEY_ID = "stand-ins@example"
KEYRING = "/usr/share/keyrings/stand-ins.gpg"


@dataclass(frozen=True)
class Package:
    """``files`` are the paths that it brings, empty but for their names."""

    name: str
    version: str
    files: tuple[str, ...] = ()
    depends: str = ""
    postinst: str = ""

    @property
    def file(self) -> str:
        return f"{self.name}_{self.version.replace('~', '-')}_all.deb"


@dataclass(frozen=True)
class Suite:
    """A suite of ``archive`` (debian or ubuntu), its packages by component."""

    archive: str
    name: str
    codename: str
    components: dict[str, tuple[Package, ...]] = field(default_factory=dict)


def kernel(release: str, meta: str, version: str, postinst: str = "") -> tuple[Package, Package]:
    """Return the metapackage and the image, with i915 in it."""
    image = Package(
        f"linux-image-{release}",
        version,
        (f"/boot/vmlinuz-{release}", f"/lib/modules/{release}/kernel/drivers/gpu/drm/i915/i915.ko.xz"),
        postinst=postinst or f"touch /boot/initrd.img-{release}",
    )
    return Package(meta, version, depends=f"{image.name} (= {version})"), image


def build(store: FaultStore, suites: tuple[Suite, ...]) -> None:
    """Build and sign the suites below ``ROOT``, and have the store trust the key in ``KEYRING``."""
    packages = {package for suite in suites for part in suite.components.values() for package in part}
    store.shell(
        "set -e; export DEBIAN_FRONTEND=noninteractive; apt-get -q update >/dev/null; "
        "apt-get -q -y -o Dpkg::Options::=--force-unsafe-io --no-install-recommends install gpg gpg-agent "
        ">/dev/null; "
        f"rm -rf {ROOT}; mkdir -p {ROOT}/pool; "
        f"gpg --batch --quiet --passphrase '' --quick-generate-key {KEY_ID} ed25519 sign never; "
        f"gpg --export {KEY_ID} > {KEYRING}; "
        + "; ".join(_make(package) for package in sorted(packages, key=lambda package: package.file))
    )
    digests = dict(
        line.split()[::-1] for line in store.shell(f"cd {ROOT}/pool && sha256sum *.deb").splitlines()
    )
    lengths = dict(
        reversed(line.split())
        for line in store.shell(f"cd {ROOT}/pool && stat -c '%s %n' *.deb").splitlines()
    )
    store.shell("set -e; " + "; ".join(_publish(suite, digests, lengths) for suite in suites))


def _make(package: Package) -> str:
    control = (
        f"Package: {package.name}\\nVersion: {package.version}\\nArchitecture: all\\nMaintainer: {KEY_ID}\\n"
        f"Description: stand-in\\n{f'Depends: {package.depends}' if package.depends else ''}\\n"
    )
    made = [
        "rm -rf /tmp/p; mkdir -p /tmp/p/DEBIAN /tmp/p/usr/share/doc",
        f"echo {package.name} > /tmp/p/usr/share/doc/{package.name}",
        *(f"mkdir -p /tmp/p$(dirname {path}); touch /tmp/p{path}" for path in package.files),
        f"printf '{control}' | sed '/^$/d' > /tmp/p/DEBIAN/control",
        "(cd /tmp/p; find . -type f ! -path './DEBIAN/*' -exec md5sum {} + > /tmp/sums)",
        "mv /tmp/sums /tmp/p/DEBIAN/md5sums",
    ]
    if package.postinst:
        made += [
            f"printf '#!/bin/sh\\n%s\\n' '{package.postinst}' > /tmp/p/DEBIAN/postinst",
            "chmod 755 /tmp/p/DEBIAN/postinst",
        ]
    return "; ".join(
        [*made, f"dpkg-deb --root-owner-group -Znone -b /tmp/p {ROOT}/pool/{package.file} >/dev/null"]
    )


def _publish(suite: Suite, digests: dict[str, str], lengths: dict[str, str]) -> str:
    base = f"{ROOT}/{suite.archive}/dists/{suite.name}"
    written, sums = [f"mkdir -p {base}; ln -sfn {ROOT}/pool {ROOT}/{suite.archive}/pool"], []
    for component, packages in suite.components.items():
        index = "\n".join(
            f"Package: {package.name}\nVersion: {package.version}\nArchitecture: all\nMaintainer: x\n"
            + (f"Depends: {package.depends}\n" if package.depends else "")
            + f"Filename: pool/{package.file}\nSize: {lengths[package.file]}\n"
            + f"SHA256: {digests[package.file]}\n"
            for package in packages
        )
        path = f"{component}/binary-amd64/Packages"
        written.append(f"mkdir -p {base}/{component}/binary-amd64; printf '%s' '{index}' > {base}/{path}")
        sums.append(f" {hashlib.sha256(index.encode()).hexdigest()} {len(index.encode())} {path}")
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S UTC")
    release = "\n".join(
        [
            f"Origin: {suite.archive}", f"Suite: {suite.name}", f"Codename: {suite.codename}",
            f"Date: {date}", "Architectures: amd64 all", f"Components: {' '.join(suite.components)}",
            *(["NotAutomatic: yes", "ButAutomaticUpgrades: yes"] if "backports" in suite.name else []),
            "SHA256:", *sums,
        ]
    )  # fmt: skip
    sign = f"gpg --batch --yes --quiet -u {KEY_ID} --clearsign -o {base}/InRelease {base}/Release"
    return "; ".join([*written, f"printf '%s\\n' '{release}' > {base}/Release", sign])
