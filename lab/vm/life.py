"""What the commands do with the machine."""

from __future__ import annotations

import shutil

from lab.fleet import files, keys
from lab.fleet.console import Console
from lab.fleet.settings import Settings
from lab.fleet.shell import run

from . import base, inventory, machine, needs, place
from .place import Machine

CPUS = 2


def start(settings: Settings, console: Console, cpus: int = CPUS) -> Machine:
    """A running machine: the one on record, or a new one with a bare disk. Takes the locks it needs."""
    with files.locked(settings.home, console):  # the packages and keys are the lab's
        needs.ensure(settings, console)
        keys.ensure(settings)
    with place.locked(settings, console):
        one = place.known(settings)
        if one is None:
            one = _make(settings, base.ensure(settings, console))
        inventory.write(settings, one)
        machine.start(settings, one, cpus)
    console.say(f"{place.NAME} answers; ansible-playbook -i {place.inventory(settings)} site.yml")
    return one


def stop(settings: Settings, console: Console) -> bool:
    """Switch it off, as by its plug. Returns whether it ran."""
    with place.locked(settings, console):
        return machine.stop(settings)


def remove(settings: Settings, console: Console) -> bool:
    """Switch it off and remove its disk; the base disk stays. Returns whether there was one."""
    if not place.home(settings).exists():
        return False
    with place.locked(settings, console):
        machine.stop(settings)
        there = place.known(settings) is not None
        for path in place.of_machine(settings):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return there


def _make(settings: Settings, host_key: str) -> Machine:
    place.console_log(settings).unlink(missing_ok=True)
    run(["cp", "--sparse=always", "--reflink=auto", place.base_image(settings), place.disk(settings)])
    # Last: a machine that is on record has its disk.
    return place.define(settings, host_key)
