"""Releases that are bad in a real way, each validly signed: their files are really broken and really fail.

``release build`` refuses most of them, so the damage is done after it and the manifest made anew around it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ovms_edge.manifest import (
    CHUNKS_DIRECTORY,
    MANIFEST_FILE,
    PACKED_DIRECTORY,
    Manifest,
    ReleaseFile,
    ReleaseRef,
)
from ovms_edge.ovms.ir import read_constants
from ovms_edge.release.build import build_release
from ovms_edge.release.cut import file_cuts
from ovms_edge.release.golden import GOLDEN_FILE, SCHEMA, GoldenSet, read_golden
from ovms_edge.release.index import index_file
from ovms_edge.release.pack import pack
from ovms_edge.release.publish import publish_release
from ovms_edge.release.sign import sign_release
from tests.contract.support import png
from tests.e2e import fault_store
from tests.e2e.load import MAX_TOKENS, PICTURE, PROMPT

LANGUAGE_MODEL = "openvino_language_model"
EMBEDDINGS = "openvino_text_embeddings_model"
TOKENIZER_FILES = (
    "openvino_tokenizer.xml",
    "openvino_tokenizer.bin",
    "openvino_detokenizer.xml",
    "openvino_detokenizer.bin",
    "tokenizer.json",
)
VOCABULARY = 512
PICTURE_FILE = "square.png"

Change = Callable[[Path], None]


def good(directory: Path, **golden: Any) -> ReleaseRef:
    """Publish a whole release of the lab's model; ``golden``: see ``golden_set``."""
    return publish(directory, **golden)


def publish(
    directory: Path,
    *,
    before: Change | None = None,
    after: Change | None = None,
    manifest: Mapping[str, Any] | None = None,
    **golden: Any,
) -> ReleaseRef:
    """Build, sign and publish a release of a copy of the lab's model in the new ``directory``.

    ``before`` changes the model, ``after`` the files of the built release and ``manifest`` keys of its
    manifest, past the checks of ``release build``. ``golden``: see ``golden_set``.
    """
    directory.mkdir(parents=True)
    model = fault_store.model_copy(directory)
    if before:
        before(model)
    asked = golden_set(directory / "golden", **golden)
    versions = (fault_store.OVMS_VERSION,)
    built = build_release(model, fault_store.new_ref(), directory / "releases", versions, golden=asked)
    if after or manifest:
        if after:
            after(built.directory)
        _describe_again(built.directory, replace(built.manifest, **(manifest or {})))
    sign_release(built.directory, fault_store.LAB / "signer/id_ed25519")
    publish_release(built.directory, fault_store.depot())
    return built.manifest.ref


def golden_set(directory: Path, *, repeat: int = 1, **expect: Any) -> GoldenSet:
    """Return a set that asks what the load asks, ``repeat`` times, and expects ``expect``."""
    directory.mkdir()
    (directory / PICTURE_FILE).write_bytes(png(*PICTURE))
    case = {
        "id": "square",
        "prompt": PROMPT,
        "images": [PICTURE_FILE],
        "max_completion_tokens": MAX_TOKENS,
        "repeat": repeat,
        "expect": expect,
    }
    (directory / GOLDEN_FILE).write_text(json.dumps({"schema": SCHEMA, "cases": [case]}))
    return read_golden(directory)


def _describe_again(release: Path, manifest: Manifest) -> None:
    """Write the manifest of what the files of a release are now."""
    for name in (CHUNKS_DIRECTORY, PACKED_DIRECTORY):
        shutil.rmtree(release / name)
        (release / name).mkdir()
    there = [file.path for file in manifest.files if (release / file.path).is_file()]
    files = tuple(_described(release, path) for path in there)
    (release / MANIFEST_FILE).write_bytes(replace(manifest, files=files).to_bytes())


def _described(release: Path, path: str) -> ReleaseFile:
    file = release / path
    sha256, index = index_file(file, file_cuts(file))
    named = index.sha256 if len(index.chunks) > 1 else None
    if named:
        (release / CHUNKS_DIRECTORY / named).write_bytes(index.to_bytes())
    return ReleaseFile(path, file.stat().st_size, sha256, named, pack(file, release / PACKED_DIRECTORY))


def other_words(step: int) -> Change:
    """Return what gives every word the embedding of another: the model speaks on, and says something else."""

    def change(model: Path) -> None:
        constants = read_constants(model / f"{EMBEDDINGS}.xml")
        table = max(constants, key=lambda constant: constant.size)
        path = model / f"{EMBEDDINGS}.bin"
        data = bytearray(path.read_bytes())
        rows = data[table.offset : table.offset + table.size]
        turn = step * (table.size // VOCABULARY)
        data[table.offset : table.offset + table.size] = rows[turn:] + rows[:turn]
        path.write_bytes(data)

    return change


def truncated_bin(release: Path) -> None:
    path = release / f"{LANGUAGE_MODEL}.bin"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt_xml(release: Path) -> None:
    path = release / f"{LANGUAGE_MODEL}.xml"
    text = path.read_bytes()
    path.write_bytes(text[: len(text) // 2] + b"\0" * 64 + text[len(text) // 2 + 64 :])


def without_tokenizer(release: Path) -> None:
    for name in TOKENIZER_FILES:
        (release / name).unlink()


def unknown_opset(release: Path) -> None:
    """An operation of an opset that is yet to come."""
    _replace(
        release / f"{LANGUAGE_MODEL}.xml",
        b'type="MatMul" version="opset1"',
        b'type="MatMul" version="opset99"',
    )


def unknown_ir_version(release: Path) -> None:
    _replace(release / f"{LANGUAGE_MODEL}.xml", b'version="11">', b'version="99">')


def speechless(release: Path) -> None:
    """Every word of the detokenizer is given the length 0."""
    begins, ends, *_ = sorted(
        read_constants(release / "openvino_detokenizer.xml"), key=lambda constant: constant.offset
    )
    assert begins.size == ends.size
    path = release / "openvino_detokenizer.bin"
    data = bytearray(path.read_bytes())
    data[ends.offset : ends.offset + ends.size] = data[begins.offset : begins.offset + begins.size]
    path.write_bytes(data)


def _replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data, f"{path} has no {old!r}"
    path.write_bytes(data.replace(old, new))
