"""Generations: the directories that containers see at /models."""

from __future__ import annotations

import os
from pathlib import Path

from ovms_edge.node.container import SERVER_UID, DesiredServer
from ovms_edge.node.files import remove_tree, sync_directory, sync_tree, write_atomic
from ovms_edge.node.paths import StatePaths
from ovms_edge.node.releases import StagedRelease


def build_generation(paths: StatePaths, desired: DesiredServer, release: StagedRelease) -> Path:
    """Return the directory for ``desired``: made under another name, synced, renamed; or there already."""
    final = paths.models / desired.generation
    if is_whole(paths, desired, release):
        return final
    new, old = paths.models / f".{desired.generation}.new", paths.models / f".{desired.generation}.old"
    remove_tree(new)
    remove_tree(old)
    model = new / desired.settings.servable
    model.mkdir(mode=0o755, parents=True)
    for file in release.manifest.files:
        target = model / file.path
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        os.link(release.directory / file.path, target)
    write_atomic(model / "graph.pbtxt", desired.graph_text.encode(), 0o644)
    write_atomic(new / "config.json", desired.config_text.encode(), 0o644)
    sync_tree(new)
    if final.exists():
        final.rename(old)
    new.rename(final)
    sync_directory(paths.models)
    remove_tree(old)
    return final


def make_cache(paths: StatePaths) -> Path:
    """Return the compile cache's directory, writable by the container's user only."""
    paths.cache.mkdir(mode=0o750, parents=True, exist_ok=True)
    paths.cache.chmod(0o750)
    os.chown(paths.cache, SERVER_UID, SERVER_UID)
    return paths.cache


def prune_generations(paths: StatePaths, keep: set[str]) -> None:
    """Remove every generation but ``keep``; the releases that they link to stay."""
    for directory in paths.models.iterdir() if paths.models.is_dir() else ():
        if directory.name not in keep:
            remove_tree(directory)


def is_whole(paths: StatePaths, desired: DesiredServer, release: StagedRelease) -> bool:
    """Whether the generation is what would be made; a release that was fetched again has other inodes."""
    final = paths.models / desired.generation
    model = final / desired.settings.servable
    texts = {final / "config.json": desired.config_text, model / "graph.pbtxt": desired.graph_text}
    return all(path.is_file() and path.read_text() == text for path, text in texts.items()) and all(
        (model / file.path).is_file() and (model / file.path).samefile(release.directory / file.path)
        for file in release.manifest.files
    )
