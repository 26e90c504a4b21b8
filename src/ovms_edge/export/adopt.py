"""A model that is OpenVINO IR already: taken over as a copy of its own, and what it says of itself."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from pathlib import Path

from ovms_edge.export.options import WEIGHT_FORMATS
from ovms_edge.export.progress import Progress
from ovms_edge.release.content import list_content

_FICLONE = 0x40049409  # linux/fs.h
_RT_INFO_BYTES = 64 * 1024  # rt_info is the end of the .xml
# nncf writes how it compressed the weights: CompressWeightsMode in nncf/parameters.py of 2.19
_COMPRESSION = re.compile(rb"<weight_compression>.*?<mode value=\"([a-z0-9]+)[a-z0-9_]*\"", re.DOTALL)


def copy_model(source: Path, target: Path, progress: Progress) -> None:
    """Copy the model's files; those of one server or one run (graph, record, caches) are left behind.

    The copy shares blocks where the file system can (reflink). Never a hard link: what its owner does to the
    source later must not reach the repository. Links in the source (a hub's cache) are followed.
    """
    content = list_content(source).included
    total = sum((source / name).stat().st_size for name in content)
    done = 0
    target.mkdir()
    for name in content:
        progress.status(f"copying {name}: {done / 1e9:.1f} of {total / 1e9:.1f} GB")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        _copy(source / name, target / name)
        done += (target / name).stat().st_size


def held_weight_format(directory: Path) -> str | None:
    """Return the format of the weights as the tools that made the IR noted it; None if they did not.

    Looks at ``openvino_config.json`` of optimum-intel, then at the ``rt_info`` that nncf left.
    """
    try:
        noted = json.loads((directory / "openvino_config.json").read_bytes()).get("dtype")
    except (OSError, ValueError, AttributeError):
        noted = None  # not every IR has the file, and nothing but this depends on it
    if noted in WEIGHT_FORMATS:
        return str(noted)
    for name in ("openvino_language_model.xml", "openvino_model.xml"):
        path = directory / name
        if path.is_file():
            with path.open("rb") as stream:
                stream.seek(max(0, path.stat().st_size - _RT_INFO_BYTES))
                found = _COMPRESSION.search(stream.read())
            if found and found[1].decode() in WEIGHT_FORMATS:
                return found[1].decode()
    return None


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError:  # another file system, or one without shared blocks
            shutil.copyfileobj(reader, writer, 1 << 20)
