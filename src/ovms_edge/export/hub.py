"""The Hugging Face hub, through its own client: cache, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are as there.

https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
"""

from __future__ import annotations

import fnmatch
import json
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.utils.tqdm import disable_progress_bars

from ovms_edge.errors import EdgeError
from ovms_edge.export.progress import Progress
from ovms_edge.export.source import HubUnreachableError
from ovms_edge.release.durable import write_atomically

# The same weights in other formats, and what is no part of the model.
_LEFT_OUT = ("*.gguf", "*.onnx", "*.h5", "*.msgpack", "*.pth", "*.ot", "original/*", "consolidated*", ".*")
_DEFAULT_REVISION = "main"
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class HubModel:
    """What ``revision`` of a model is at the moment: a commit with its ``files`` (path: bytes).

    ``parameters`` (type: count) is empty where the hub does not count.
    """

    repo_id: str
    revision: str
    commit: str
    files: dict[str, int]
    parameters: dict[str, int]
    config: dict[str, Any]


def cached(repo_id: str, revision: str | None) -> Path | None:
    """Return the snapshot in the cache if the hub is not to be asked (HF_HUB_OFFLINE).

    Raises HubUnreachableError if it is not there.
    """
    if not constants.HF_HUB_OFFLINE:
        return None
    try:
        return Path(huggingface_hub.snapshot_download(repo_id, revision=revision, local_files_only=True))
    except errors.LocalEntryNotFoundError as error:
        raise HubUnreachableError(
            f"{repo_id}{_at(revision)} is not in the Hugging Face cache {constants.HF_HUB_CACHE}, "
            "and HF_HUB_OFFLINE is set",
            "unset it, or name a local directory",
        ) from error


def look_up(repo_id: str, revision: str | None) -> HubModel:
    """Return what the hub says of ``repo_id`` at ``revision`` (branch, tag or commit; None: main)."""
    try:
        info = huggingface_hub.HfApi().model_info(repo_id, revision=revision, files_metadata=True)
        if info.sha is None:
            raise EdgeError(f"{constants.ENDPOINT} names no commit of {repo_id}", "give a --revision")
        with tempfile.TemporaryDirectory() as directory:
            path = huggingface_hub.hf_hub_download(
                repo_id, "config.json", revision=info.sha, local_dir=directory
            )
            content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise _failure(error, repo_id, revision) from error
    files = {entry.rfilename: entry.size or 0 for entry in info.siblings or []}
    has_safetensors = any(name.endswith(".safetensors") for name in files)
    wanted = {name: size for name, size in files.items() if not _left_out(name, has_safetensors)}
    parameters = dict(info.safetensors.parameters) if info.safetensors else {}
    config = content if isinstance(content, dict) else {}
    return HubModel(repo_id, revision or _DEFAULT_REVISION, info.sha, wanted, parameters, config)


def missing_bytes(model: HubModel) -> int:
    """Return what is still to be downloaded of ``model``."""
    snapshot = _cache(model.repo_id) / "snapshots" / model.commit
    return sum(size for name, size in model.files.items() if not (snapshot / name).exists())


def cache_directory() -> Path:
    """Return where the client puts what it downloads."""
    return Path(constants.HF_HUB_CACHE)


def download(model: HubModel, progress: Progress) -> Path:
    """Download exactly ``model.commit`` into the client's cache, where an interrupted download goes on."""
    total = sum(model.files.values())
    progress.say(
        f"downloading {model.repo_id} at {model.commit[:12]}: {missing_bytes(model) / 1e9:.1f} of "
        f"{total / 1e9:.1f} GB are not in {cache_directory()}"
    )
    disable_progress_bars()  # eight at once, each for a file
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(model, total, progress, done), daemon=True)
    watcher.start()
    try:
        snapshot = huggingface_hub.snapshot_download(
            model.repo_id, revision=model.commit, allow_patterns=sorted(map(_literal, model.files))
        )
    except (OSError, ValueError) as error:
        raise _failure(error, model.repo_id, model.commit) from error
    finally:
        done.set()
        watcher.join()
    _note_revision(model)
    return Path(snapshot)


def _note_revision(model: HubModel) -> None:
    """Let the cache know the commit by its revision's name, so that it is found without the hub.

    The client does so itself unless it is asked for a commit, as here
    (https://huggingface.co/docs/huggingface_hub/guides/manage-cache, "Refs").
    """
    if model.revision != model.commit:
        reference = _cache(model.repo_id) / "refs" / model.revision
        reference.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(reference, model.commit.encode())


def _watch(model: HubModel, total: int, progress: Progress, done: threading.Event) -> None:
    blobs = _cache(model.repo_id) / "blobs"
    while not done.wait(_POLL_SECONDS):
        sizes = [_allocated(path) for path in blobs.glob("*")]
        progress.status(f"downloading {model.repo_id}: {sum(sizes) / 1e9:.1f} of {total / 1e9:.1f} GB")


def _allocated(path: Path) -> int:
    """Bytes on disk: a file being written may be as long as the whole from the start."""
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0  # renamed since the directory was read


def _cache(repo_id: str) -> Path:
    return cache_directory() / f"models--{repo_id.replace('/', '--')}"


def _left_out(name: str, has_safetensors: bool) -> bool:
    patterns = (*_LEFT_OUT, "pytorch_model*.bin") if has_safetensors else _LEFT_OUT
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _literal(name: str) -> str:
    """Return a pattern that matches ``name`` alone."""
    return name.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")


def _failure(error: OSError | ValueError, repo_id: str, revision: str | None) -> EdgeError:
    where = f"{repo_id}{_at(revision)}"
    if isinstance(error, errors.GatedRepoError):
        return EdgeError(f"{where} is gated: {_first_line(error)}", "accept its terms there and set HF_TOKEN")
    if isinstance(error, errors.RevisionNotFoundError):
        return EdgeError(f"{where} does not exist", "give a --revision that the model has")
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, FileNotFoundError):
        return EdgeError(f"{where} has no config.json", "name a model in the layout of transformers")
    if isinstance(error, errors.RepositoryNotFoundError):
        return EdgeError(
            f"{constants.ENDPOINT} has no model {repo_id}, or it is private",
            "check the id; for a private model set HF_TOKEN",
        )
    return HubUnreachableError(
        f"{where} cannot be got from {constants.ENDPOINT}: {_first_line(error)}",
        "check network and proxy, set HF_ENDPOINT to a mirror, or name a local directory",
    )


def _at(revision: str | None) -> str:
    return f" at {revision}" if revision else ""


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
