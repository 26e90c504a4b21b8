"""Make a release of an exported model: its files under one manifest, complete or absent."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.golden import GOLDEN_DIRECTORY
from ovms_edge.manifest import (
    CHUNKS_DIRECTORY,
    MANIFEST_FILE,
    PACKED_DIRECTORY,
    Manifest,
    Memory,
    ReleaseFile,
    ReleaseRef,
)
from ovms_edge.oci import STATUS_TAG
from ovms_edge.ovms.ir import check_ir
from ovms_edge.ovms.model_memory import model_memory
from ovms_edge.release.content import Content, list_content
from ovms_edge.release.cut import file_cuts
from ovms_edge.release.describe import read_graph_defaults, read_source
from ovms_edge.release.durable import sync, sync_tree
from ovms_edge.release.golden import GoldenSet, no_golden
from ovms_edge.release.index import index_file
from ovms_edge.release.pack import pack
from ovms_edge.release.progress import Progress
from ovms_edge.release.siblings import last_releases, make_residuals, read_sibling


@dataclass(frozen=True)
class Built:
    """A release in ``directory``; ``new`` is False if it was there already, with the same content."""

    directory: Path
    manifest: Manifest
    content: Content
    new: bool


def build_release(
    model: Path,
    ref: ReleaseRef,
    output: Path,
    ovms_versions: tuple[str, ...],
    *,
    residuals: int = 0,
    against: Sequence[Path] = (),
    golden: GoldenSet | None = None,
    verbose: bool = False,
) -> Built:
    """Write ``output/NAME/VERSION`` from the export in ``model`` and return it.

    It gets residuals against the last ``residuals`` releases of its name in ``output``, and against those
    in the directories ``against``, where they pay. ``golden`` is what every node asks before it serves it.

    Raises EdgeError if the model is not whole, its graph is not one that every version of
    ``ovms_versions`` reads, or the release exists with other content.
    """
    if ref.version == STATUS_TAG:
        raise EdgeError(f"{ref}: the version {STATUS_TAG} is the status list's tag", "choose another version")
    if output.resolve().is_relative_to(model.resolve()):
        raise EdgeError(f"{output} lies in the model directory {model}", "choose an --output outside of it")
    check_ir(model)
    graph = {version: read_graph_defaults(model, version) for version in ovms_versions}
    content = list_content(model)
    golden = golden or no_golden()
    _require_no_golden_directory(model, content, golden)
    needs = model_memory(model)
    memory = Memory(needs.weights_bytes, needs.kv_bytes_per_token)
    source = read_source(model)
    parent = output / ref.name
    final = parent / ref.version
    with _disk_errors(parent), _only_builder(parent) as partial:
        _place(model, content.included, partial)
        _place(golden.directory, golden.images, partial / GOLDEN_DIRECTORY)
        manifest = Manifest(
            name=ref.name,
            version=ref.version,
            created=_created(),
            source=source,
            ovms_versions=ovms_versions,
            graph=graph[ovms_versions[0]],
            memory=memory,
            files=_index_files(partial, (*content.included, *golden.release_images), verbose),
            golden=golden.entries,
        )
        if final.exists():
            return Built(final, _same_or_refuse(final, manifest), content, new=False)
        siblings = [*(read_sibling(path) for path in against), *last_releases(parent, ref, residuals)]
        made = make_residuals(partial, manifest.files, siblings, verbose)
        manifest = replace(manifest, residuals=made)
        (partial / MANIFEST_FILE).write_bytes(manifest.to_bytes())
        sync_tree(partial)
        partial.rename(final)
        sync(parent)
    return Built(final, manifest, content, new=True)


def _require_no_golden_directory(model: Path, content: Content, golden: GoldenSet) -> None:
    inside = [path for path in content.included if path.startswith(f"{GOLDEN_DIRECTORY}/")]
    if inside and golden.images:
        raise EdgeError(
            f"{model} has {inside[0]}, where the images of the golden set go",
            "keep golden sets outside of the model directory",
        )


@contextmanager
def _only_builder(parent: Path) -> Iterator[Path]:
    """Yield an empty directory beside the releases; no other build has it, nothing of it stays behind."""
    parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EdgeError(
                f"another build is writing to {parent}", "wait for it to end, then try again"
            ) from error
        partial = parent / ".partial"  # no version starts with a dot
        shutil.rmtree(partial, ignore_errors=True)  # of a build that was killed
        partial.mkdir()
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors(parent: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EdgeError(
            f"release not built in {parent}: {error.strerror}: {error.filename or parent}",
            "free space or mend the permissions there, or choose another --output",
        ) from error


def _place(model: Path, paths: tuple[str, ...], target: Path) -> None:
    """Hard-link the files, or copy where a link is not possible (another file system)."""
    for path in paths:
        source = (model / path).resolve()
        destination = target / path
        destination.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, destination)
        except OSError:
            shutil.copyfile(source, destination)


def _index_files(root: Path, paths: tuple[str, ...], verbose: bool) -> tuple[ReleaseFile, ...]:
    """Read every file once; write the index of each that has more than one chunk."""
    sizes = {path: (root / path).stat().st_size for path in paths}
    progress = Progress("hash", sum(sizes.values()), verbose)
    files = []
    indexes, packed = root / CHUNKS_DIRECTORY, root / PACKED_DIRECTORY
    indexes.mkdir()
    packed.mkdir()
    for path in paths:
        progress.start(path)
        sha256, index = index_file(root / path, file_cuts(root / path), progress.advance)
        named = index.sha256 if len(index.chunks) > 1 else None
        if named:
            (indexes / named).write_bytes(index.to_bytes())
        files.append(ReleaseFile(path, sizes[path], sha256, named, pack(root / path, packed)))
        progress.finish(f"{sizes[path]} bytes, {len(index.chunks)} chunks")
    progress.close()
    return tuple(files)


def _same_or_refuse(final: Path, new: Manifest) -> Manifest:
    """Return the manifest of the release in ``final`` if it is the same but for its time."""
    path = final / MANIFEST_FILE
    if not path.is_file():
        raise EdgeError(f"{final} is in the way and is no release", "move it away, then build again")
    old = Manifest.from_bytes(path.read_bytes())
    if replace(new, created=old.created, residuals=old.residuals) != old:
        raise EdgeError(
            f"{new.ref} exists in {final} and never changes, but this model gives another"
            f" ({_difference(old, new)})",
            "choose another version",
        )
    sizes: dict[str, int | None] = {file.path: file.size for file in old.files} | dict.fromkeys(old.further)
    for name, size in sizes.items():
        target = final / name
        if not target.is_file() or size not in (None, target.stat().st_size):
            raise EdgeError(
                f"{final} is damaged: {name} is missing or cut", f"remove {final}, then build again"
            )
    return old


def _difference(old: Manifest, new: Manifest) -> str:
    before, after = set(old.files), set(new.files)
    paths = sorted({file.path for file in before ^ after})
    if paths:
        return f"{len(paths)} files differ: {', '.join(paths[:3])}{', ...' if len(paths) > 3 else ''}"
    keys = ("source", "ovms_versions", "graph", "memory", "golden")
    return "differs in " + ", ".join(key for key in keys if getattr(old, key) != getattr(new, key))


def _created() -> str:
    """Now, or SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch), in UTC."""
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is not None and not text.isdecimal():
        raise EdgeError(f"SOURCE_DATE_EPOCH is {text!r}", "set it to seconds since 1970, or unset it")
    moment = time.gmtime(int(text) if text is not None else time.time())
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
