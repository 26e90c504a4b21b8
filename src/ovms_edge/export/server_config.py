"""The repository's ``config.json``: our servable in it, everything else as it was."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.ovms.config import with_servable
from ovms_edge.release.durable import write_atomically


def read_config(path: Path) -> dict[str, Any]:
    """Return the content of ``config.json``, or an empty one if there is none yet."""
    if not path.exists():
        return {"model_config_list": []}
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise EdgeError(
            f"{path} is not JSON: {error}", "mend it, or move it away and export again"
        ) from error
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", "mend its permissions") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_config_list", []), list):
        raise EdgeError(
            f"{path} is not a configuration of OVMS: no object with a model_config_list",
            "mend it, or move it away and export again",
        )
    return config


def base_path_for(target: Path, config_file: Path) -> str:
    """Return ``target`` as OVMS shall read it: relative to ``config_file`` if below it, else absolute."""
    target, directory = target.resolve(), config_file.resolve().parent
    return target.relative_to(directory).as_posix() if target.is_relative_to(directory) else str(target)


def update_config(config_file: Path, name: str, target: Path) -> bool:
    """Enter the servable; returns whether that changed the file."""
    config_file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(config_file.parent):
        config = read_config(config_file)
        merged = with_servable(config, name, base_path_for(target, config_file))
        if merged == config:
            return False
        write_atomically(config_file, (json.dumps(merged, indent=4) + "\n").encode())
        return True


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory: exports of other models into the same repository change the same file."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
