"""Taking the lab away again: what it made, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from ovms_edge.errors import EdgeError

from . import containers, depot, engine, host_packages, images, inventory, made, standin, store
from .console import Console
from .containers import docker
from .settings import Settings


def down(settings: Settings, console: Console) -> None:
    """Remove stores, depot and network. Images, keys, model and the depot's data stay."""
    if not engine.answers():
        if containers_may_exist(settings):
            raise EdgeError(
                "the Docker engine does not answer, so the stores cannot be removed", "start it first"
            )
        return
    names = containers.states(settings)
    if names:
        docker("rm", "--force", "--volumes", *names)
        console.say(f"removed {len(names)} containers")
    containers.remove_network(settings)
    forget_stores(settings)


def forget_stores(settings: Settings) -> None:
    stores = store.known(settings)
    for name in stores:
        shutil.rmtree(store.directory(settings, name))
    for directory in sorted({str(settings.inventory), *(one.inventory for one in stores.values())}):
        inventory.write(settings, Path(directory))
    if (settings.home / "ssh").exists():
        store.pin_host_keys(settings)


def containers_may_exist(settings: Settings) -> bool:
    return shutil.which("docker") is not None and bool(store.known(settings))


def down_all(settings: Settings, console: Console) -> None:
    """``down``, and everything else that the lab ever made or installed on this machine. Can be repeated."""
    # Where systemd runs, the package starts the engine as it is installed.
    ours = engine.started_by_lab(settings) or "docker.io" in host_packages.installed_by_lab(settings)
    if ours and not engine.answers() and shutil.which("dockerd"):
        engine.ensure(
            settings, console
        )  # it was killed, or the machine rebooted: its containers must go first
    if engine.answers():
        down(settings, console)
        _remove_images_and_volume(settings)
        console.say("removed images and the depot's data")
    else:
        forget_stores(settings)
    depot.distrust_on_host(settings)
    if ours:
        engine.stop(settings)
        console.say("stopped the Docker engine")
    _remove_packages(settings, console)
    if ours:
        engine.remove_data(settings)
    made.remove(settings)
    if settings.home.exists():
        shutil.rmtree(settings.home)
        console.say(f"removed {settings.home.relative_to(settings.project)}")


def _remove_images_and_volume(settings: Settings) -> None:
    tags = [
        *(image.tag for image in reversed(images.catalogue(settings))),
        standin.image(settings),
        settings.server_image,
    ]
    there = [tag for tag in tags if containers.image_id(tag)]
    if there:
        docker("rmi", "--force", *there)
    docker("volume", "rm", "--force", depot.volume(settings))


def _remove_packages(settings: Settings, console: Console) -> None:
    packages = host_packages.installed_by_lab(settings)
    if not packages:
        return
    kept = host_packages.purge(settings)
    console.say(f"purged {len(packages) - len(kept)} packages")
    if kept:
        raise EdgeError(
            f"still installed, because other packages came to depend on them: {' '.join(kept)}",
            "remove those others and run it again, or keep them and delete .lab by hand",
        )
