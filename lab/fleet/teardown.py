"""Taking the lab away again: what it made, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from lab.vm import life as vm
from ovms_edge.errors import EdgeError

from . import containers, depot, engine, host_packages, images, inventory, made, standin, store
from .console import Console
from .containers import docker
from .settings import Settings


def down(settings: Settings, console: Console) -> None:
    """Remove stores, depot and network. Images, keys, model and the depot's data stay."""
    _remove_machine(settings, console)
    if engine.answers():
        names = containers.states(settings)
        if names:
            docker("rm", "--force", "--volumes", *names)
            console.say(f"removed {len(names)} containers")
        containers.remove_network(settings)
    elif engine_may_hold_ours(settings):
        raise EdgeError(
            "the Docker engine does not answer, so the stores cannot be removed", "start it first"
        )
    forget_stores(settings)


def forget_stores(settings: Settings) -> None:
    stores = store.known(settings)
    for name in stores:
        shutil.rmtree(store.directory(settings, name))
    for directory in sorted({str(settings.inventory), *(one.inventory for one in stores.values())}):
        inventory.write(settings, Path(directory))
    if (settings.home / "ssh").exists():
        store.pin_host_keys(settings)


def engine_may_hold_ours(settings: Settings) -> bool:
    return shutil.which("docker") is not None and (
        engine.used_by_lab(settings) or bool(store.known(settings))
    )


def down_all(settings: Settings, console: Console) -> None:
    """``down``, and everything else that the lab ever made or installed on this machine. Can be repeated."""
    _remove_machine(settings, console)
    # Where systemd runs, the package starts the engine as it is installed.
    ours = engine.started_by_lab(settings) or "docker.io" in host_packages.installed_by_lab(settings)
    if ours and not engine.answers() and shutil.which("dockerd"):
        engine.ensure(
            settings, console
        )  # it was killed, or the machine rebooted: its containers must go first
    left: list[str] = []
    if ours and not engine.answers():  # its program is gone
        engine.require_known_empty(settings)
        forget_stores(settings)
    else:
        down(settings, console)
        if engine.answers():
            _remove_images_and_volume(settings, console)
            left = containers.contents() if ours else []
            engine.note(settings, empty=not left)
    depot.distrust_on_host(settings)
    made.remove(settings)
    if left:
        _leave_engine(settings, left, console)
        return
    if ours:
        engine.stop(settings)
        console.say("stopped the Docker engine")
    _remove_packages(settings, console)
    if ours:
        engine.remove_data(settings)
    if settings.home.exists():
        shutil.rmtree(settings.home)
        console.say(f"removed {settings.home.relative_to(settings.project)}")


def _remove_machine(settings: Settings, console: Console) -> None:
    """No engine is needed for it."""
    if vm.remove(settings, console):
        console.say("removed the virtual machine")


def _remove_images_and_volume(settings: Settings, console: Console) -> None:
    others = containers.of_other_checkouts(settings)
    if others:
        console.say(f"images and the depot's data stay: the lab of {', '.join(others)} uses them")
        return
    listed = docker("images", "--digests", "--format", "{{.Repository}}\t{{.Tag}}\t{{.Digest}}")
    fetched = [tag for tag in images.pulled(settings) if containers.image_id(tag)]
    there = [*own_images(listed, settings.name, depot.registries(settings)), *fetched]
    if there:
        docker("rmi", "--force", *there)
    docker("image", "prune", "--force", "--filter", f"label={containers.IMAGE_LABEL}={settings.name}")
    docker("volume", "rm", "--force", depot.volume(settings))
    console.say("removed images and the depot's data")


def own_images(listed: str, name: str, registries: Iterable[str]) -> list[str]:
    """References of the lab ``name`` in ``REPOSITORY TAG DIGEST`` lines of `docker images`."""
    in_depots = {f"{registry}/{standin.REPOSITORY}" for registry in registries}
    found = []
    for line in listed.splitlines():
        repository, tag, digest = line.split("\t")
        if repository.startswith(f"{name}/") or repository in in_depots:
            found.append(f"{repository}@{digest}" if tag == "<none>" else f"{repository}:{tag}")
    return list(dict.fromkeys(found))


def _leave_engine(settings: Settings, left: list[str], console: Console) -> None:
    for path in settings.home.iterdir():
        if path.is_dir() and path.name != "host":
            shutil.rmtree(path)
    console.say(f"the Docker engine holds what is not this lab's: {', '.join(left)}")
    console.say(
        "so the engine, its data and the installed packages stay, with the record of them in .lab/host"
    )
    console.say("to take these away too: remove what it holds and run this again")


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
