"""The lab at a glance."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from . import containers, engine, store
from .console import Console, table
from .settings import Settings
from .store import Store

_PORT = 8002
_HEADER = ("STORE", "DEBIAN", "MEMORY", "RENDER GID", "ADDRESS", "STATE", "SERVING")


def show(settings: Settings, console: Console) -> None:
    """Print depot and stores."""
    if not engine.answers():
        console.plain("no Docker engine runs; lab/lab up starts it")
        return
    states = containers.states(settings)
    depot_state = states.get(f"{settings.name}-depot", "absent")
    console.plain(f"depot  {settings.depot_url}  {depot_state}")
    stores = list(store.known(settings).values())
    if not stores:
        console.plain("no stores; lab/lab up makes three")
        return
    with ThreadPoolExecutor(max_workers=16) as pool:
        serving = list(pool.map(served, stores))
    rows = [
        (one.name, one.debian, f"{one.memory_gib} GiB", str(one.render_gid), one.address,
         states.get(store.container(settings, one.name), "absent"), what)
        for one, what in zip(stores, serving, strict=True)
    ]  # fmt: skip
    console.plain(table(_HEADER, rows))


def served(one: Store) -> str:
    """Models and their states as the store's own OVMS tells, or ``-``."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{one.address}:{_PORT}/v1/config", timeout=2) as response:
            models = json.load(response)
    except (OSError, ValueError):
        return "-"
    return ", ".join(
        f"{name} {model['model_version_status'][0]['state']}" for name, model in sorted(models.items())
    ) or "-"  # fmt: skip
