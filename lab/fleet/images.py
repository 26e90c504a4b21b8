"""The lab's images, built from distribution packages and only when what they are made of changed."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ovms_edge.errors import EdgeError

from . import files
from .console import Console, duration
from .containers import IMAGE_LABEL, INPUTS_LABEL, docker, image_id, image_inputs
from .settings import Settings
from .shell import run, tail

SUITES = {"12": "bookworm", "13": "trixie"}
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
BOOTSTRAP = (
    "--variant=minbase",
    "--include=ca-certificates",
    '--aptopt=Acquire::Languages "none"',
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
)


@dataclass(frozen=True)
class Image:
    """``context`` is a directory under lab/images, or None for the base image of a Debian suite."""

    tag: str
    base: str  # tag of the image it is built on, or the suite
    context: str | None = None


def depot_image(settings: Settings) -> str:
    return settings.image("depot")


def ovms_base(settings: Settings) -> str:
    return settings.image("ovms-base")


def store_image(settings: Settings, debian: str) -> str:
    return settings.image(f"store:{SUITES[debian]}")


def _base_image(settings: Settings, suite: str) -> str:
    return settings.image(f"base:{suite}")


def catalogue(settings: Settings) -> list[Image]:
    """Every image of the lab but the OVMS stand-in, bases first."""
    return [
        *(Image(_base_image(settings, suite), suite) for suite in SUITES.values()),
        Image(depot_image(settings), _base_image(settings, "bookworm"), "depot"),
        Image(ovms_base(settings), _base_image(settings, "trixie"), "ovms-base"),
        *(
            Image(store_image(settings, debian), _base_image(settings, suite), "store")
            for debian, suite in SUITES.items()
        ),
    ]


def inputs(settings: Settings) -> dict[str, str]:
    """The digest of what each image is made of, by tag."""
    digests: dict[str, str] = {}
    for image in catalogue(settings):
        if image.context is None:
            parts = [image.base, settings.base, *(BOOTSTRAP if settings.base == "mmdebstrap" else ())]
        else:
            parts = [digests[image.base], tree_digest(settings.project / "lab" / "images" / image.context)]
        digests[image.tag] = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return digests


def tree_digest(*roots: Path) -> str:
    """sha256 over names, executable bits and contents of files, whatever their order on disk."""
    digest = hashlib.sha256()
    for root in roots:
        paths: Iterable[Path] = [root] if root.is_file() else sorted(root.rglob("*"))
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root.parent)}\0{path.stat().st_mode & 0o100}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def outdated(settings: Settings) -> list[Image]:
    wanted = inputs(settings)
    built = image_inputs(list(wanted))
    return [image for image in catalogue(settings) if built.get(image.tag) != wanted[image.tag]]


def build(settings: Settings, console: Console) -> None:
    """Build what is outdated, each image as soon as the one under it is there."""
    todo = outdated(settings)
    if not todo:
        return
    wanted = inputs(settings)
    done: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(max_workers=len(todo)) as pool:
        for image in todo:
            done[image.tag] = pool.submit(
                _build, image, wanted[image.tag], done.get(image.base), settings, console
            )
    for future in done.values():
        future.result()


def _build(
    image: Image, digest: str, base: Future[None] | None, settings: Settings, console: Console
) -> None:
    if base is not None:
        base.result()
    start = time.monotonic()
    log = settings.logs / f"image-{image.tag.rpartition('/')[2].replace(':', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    if image.context is not None:
        context = settings.project / "lab" / "images" / image.context
        _build_dockerfile(image, _labels(settings, digest), context, log)
    elif settings.base == "pull":
        source = f"debian:{image.base}-slim"
        if image_id(source) is None:
            files.write(settings.home / "host" / "pulled" / source, "")
        docker("pull", source, log=log)
        run(["docker", "build", "-q", "--force-rm", *_labels(settings, digest), "-t", image.tag, "-"],
            stdin=f"FROM {source}\n", environment=_classic_builder(), log=log)  # fmt: skip
    else:
        _bootstrap(image, _labels(settings, digest)[1::2], log)
    console.say(f"image {image.tag} built in {duration(time.monotonic() - start)}")


def pulled(settings: Settings) -> list[str]:
    """Images that the lab fetched from a registry and that were not there before."""
    return sorted(path.name for path in (settings.home / "host" / "pulled").glob("*"))


def _labels(settings: Settings, digest: str) -> list[str]:
    return ["--label", f"{INPUTS_LABEL}={digest}", "--label", f"{IMAGE_LABEL}={settings.name}"]


def _build_dockerfile(image: Image, labels: list[str], context: Path, log: Path) -> None:
    proxies = [word for name in _PROXIES if name in os.environ for word in ("--build-arg", name)]
    run(
        ["docker", "build", "--force-rm", "--build-arg", f"BASE={image.base}", *proxies,
         *labels, "-t", image.tag, context],
        environment=_classic_builder(),
        log=log,
    )  # fmt: skip


def _bootstrap(image: Image, labels: list[str], log: Path) -> None:
    """A minimal Debian straight into the engine, from the mirror that this machine uses itself."""
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["mmdebstrap", *BOOTSTRAP, image.base, "-", *apt_sources(image.base)],
            stdout=subprocess.PIPE,
            stderr=output,
        ) as bootstrap,
    ):
        imported = subprocess.run(
            [
                "docker",
                "import",
                *(word for label in labels for word in ("-c", f"LABEL {label}")),
                "-c",
                'CMD ["/bin/bash"]',
                "-",
                image.tag,
            ],
            stdin=bootstrap.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
        if imported.returncode or bootstrap.wait():
            # A cut-off stream may import well.
            subprocess.run(["docker", "rmi", image.tag], capture_output=True, check=False)
            raise EdgeError(
                f"mmdebstrap of Debian {image.base} failed: {imported.stderr.strip() or tail(log, 3)}",
                f"see {log}",
            )


def apt_sources(suite: str) -> list[str]:
    """Sources for ``suite`` on the host's own mirrors; none if it is no Debian (mmdebstrap has a default)."""
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        return []
    listed = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)", "Created-By: Packages"]
    )
    return translate_sources(listed, release.get("VERSION_CODENAME", ""), suite)


def translate_sources(listed: str, codename: str, suite: str) -> list[str]:
    """One-line apt sources for ``suite`` from ``URI|RELEASE|COMPONENT`` lines of a ``codename`` host."""
    sources = []
    for line in dict.fromkeys(listed.splitlines()):
        uri, release, component = line.split("|")
        if release in (codename, f"{codename}-updates", f"{codename}-security") and component == "main":
            sources.append(f"deb {uri.rstrip('/')} {suite}{release.removeprefix(codename)} main")
    return sources


def _classic_builder() -> dict[str, str]:
    """BuildKit is a plugin that Debian does not package."""
    return {**os.environ, "DOCKER_BUILDKIT": "0"}
