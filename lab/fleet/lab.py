"""What the commands do, in the order in which things depend on each other."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ovms_edge.errors import EdgeError

from . import containers, depot, engine, host_packages, images, inventory, keys, standin, store
from .console import Console
from .settings import Settings
from .store import Store


def announcement(settings: Settings) -> list[str]:
    """What ``prepare`` would install and start on this machine, before it does."""
    lines = []
    packages = host_packages.missing(settings)
    if packages:
        lines.append(f"install by apt: {' '.join(packages)} and what they depend on")
    if not engine.answers():
        lines.append("start the Docker engine, which turns IP forwarding on and adds rules to iptables")
        tags = ", ".join(image.tag for image in images.catalogue(settings))
        lines.append(f"build container images, where that is not done yet: {tags}")
    else:
        outdated = images.outdated(settings)
        if outdated:
            lines.append(f"build container images: {', '.join(image.tag for image in outdated)}")
    if not depot.host_trust(settings).exists():
        lines.append(f"let the Docker engine trust the depot's CA: {depot.host_trust(settings)}")
    return lines


def machine_is_ready(settings: Settings) -> bool:
    return not host_packages.missing(settings) and engine.answers()


def prepare_machine(settings: Settings, console: Console) -> None:
    """Packages and engine."""
    if platform.machine() != "x86_64":
        raise EdgeError(
            f"this machine is {platform.machine()}", "the lab needs x86-64, as OpenVINO's GPU hosts are"
        )
    answered = engine.answers()
    if answered:
        containers.claim_name(settings, console)
    engine.remember_machine(settings)
    packages = host_packages.missing(settings)
    if packages:
        host_packages.install(settings, packages, console)
    engine.ensure(settings, console)
    if not answered:
        containers.claim_name(settings, console)
    engine.note(settings, used=True, empty=False)


def prepare_depot(settings: Settings, console: Console) -> None:
    """Keys, network and an answering depot. Wants the images."""
    keys.ensure(settings)
    containers.ensure_network(settings)
    depot.ensure(settings, console)


def prepare(settings: Settings, console: Console) -> None:
    """Everything but stores."""
    prepare_stage(settings, console)
    standin.ensure(settings, console)


def prepare_stage(settings: Settings, console: Console) -> None:
    """All that stores need to start; only the OVMS stand-in is not there yet."""
    for line in announcement(settings):
        console.say(f"will {line}")
    prepare_machine(settings, console)
    images.build(settings, console)
    prepare_depot(settings, console)


def start_stores(settings: Settings, stores: Iterable[Store], console: Console) -> None:
    """Bring them up side by side, pin their host keys and write the inventories that they stand in."""
    stores = list(stores)
    states = containers.states(settings)

    def bring_up(one: Store) -> None:
        done = store.start(settings, one, states.get(store.container(settings, one.name)))
        if done:
            console.say(f"{one.name} {done}: {one.system}, {one.memory_gib} GiB, {one.address}")

    in_parallel(bring_up, stores)
    store.pin_host_keys(settings)
    for directory in sorted({one.inventory for one in stores}):
        inventory.write(settings, Path(directory))


def in_parallel(work: Callable[[Store], None], stores: list[Store]) -> None:
    """``work`` on every store; the first error is raised when all have ended."""
    if stores:
        with ThreadPoolExecutor(max_workers=min(len(stores), 8)) as pool:
            futures = [pool.submit(work, one) for one in stores]
        for future in futures:
            future.result()


def up(settings: Settings, count: int, console: Console) -> list[Store]:
    """``prepare``, stores 1 to ``count`` beside those on record, ``inventory/lab``."""
    prepare_stage(settings, console)
    with ThreadPoolExecutor(max_workers=1) as pool:
        serving_image = pool.submit(standin.ensure, settings, console)
        stores = up_stores(settings, count, console)
        serving_image.result()
    return stores


def up_stores(settings: Settings, count: int, console: Console) -> list[Store]:
    here = str(settings.inventory)
    on_record = [one.name for one in store.known(settings).values() if one.inventory == here]
    wanted = sorted({*on_record, *store.numbered(count)})
    stores = [store.define(settings, name, settings.inventory) for name in wanted]
    start_stores(settings, stores, console)
    return stores


def remove(settings: Settings, name: str) -> None:
    gone = store.get(settings, name)
    store.remove(settings, name)
    store.pin_host_keys(settings)
    inventory.write(settings, Path(gone.inventory))


def extend_path() -> None:
    """`su` on Debian leaves the system directories out."""
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
