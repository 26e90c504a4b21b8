"""The exported model as a servable in the repository's ``config.json``."""

from __future__ import annotations

from pathlib import Path

# config_file is imported when it runs: it needs a package, and --help does without (requirements.py).


def base_path_for(target: Path, config_file: Path) -> str:
    """Return ``target`` as OVMS shall read it: relative to ``config_file`` if below it, else absolute."""
    target, directory = target.resolve(), config_file.resolve().parent
    return target.relative_to(directory).as_posix() if target.is_relative_to(directory) else str(target)


def check_mergeable(config_file: Path, name: str, target: Path, ovms_version: str) -> None:
    """Raise EdgeError if the servable could not be entered once the model is there."""
    from ovms_edge.config_file.merge import plan_merge

    plan_merge(config_file, name, base_path_for(target, config_file), ovms_version)


def update_config(config_file: Path, name: str, target: Path, ovms_version: str) -> bool:
    """Enter the servable, all else as it was; returns whether that changed the file."""
    from ovms_edge.config_file.merge import merge_servable

    config_file.parent.mkdir(parents=True, exist_ok=True)
    base_path = base_path_for(target, config_file)
    return merge_servable(config_file, name, base_path, ovms_version, dry_run=False).changed
