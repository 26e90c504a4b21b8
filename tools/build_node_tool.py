"""Build ``ovms-node``: one file, the same bytes for the same sources.

Usage: python tools/build_node_tool.py OUTPUT
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

_SOURCE = Path(__file__).resolve().parent.parent / "src"
_PATTERNS = (
    "ovms_edge/__init__.py",
    "ovms_edge/chunks.py",
    "ovms_edge/delta.py",
    "ovms_edge/edits.py",
    "ovms_edge/errors.py",
    "ovms_edge/image_layout.py",
    "ovms_edge/manifest.py",
    "ovms_edge/oci.py",
    "ovms_edge/golden.py",
    "ovms_edge/json_schema.py",
    "ovms_edge/residual.py",
    "ovms_edge/status_list.py",
    "ovms_edge/ovms/*.py",
    "ovms_edge/node/*.py",
    "ovms_edge/node/doctor/*.py",
    "ovms_edge/node/doctor/checks/*.py",
    # what of the graph's parser needs no protobuf
    "ovms_edge/graph/__init__.py",
    "ovms_edge/graph/text/__init__.py",
    "ovms_edge/graph/text/syntax.py",
    "ovms_edge/graph/text/tokens.py",
)
_INSTALLED = "/usr/local/bin/ovms-node"
_UNPACKED = "/run/ovms-edge/code"
# As installed it runs from a directory of its own, named after its content; see ovms_edge/node/unpack.py.
_MAIN = """\
import os
import sys

if sys.argv[0] == {installed!r} and os.geteuid() == 0:
    if os.path.isdir({unpacked!r}):
        sys.path.insert(0, {unpacked!r})
    else:
        from pathlib import Path

        from ovms_edge.node.unpack import unpack

        unpack(Path(sys.argv[0]), Path({unpacked!r}))

from ovms_edge.node.cli import main

sys.exit(main())
"""
_DIGEST_DIGITS = 16
_SHEBANG = b"#!/usr/bin/env python3\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
_MODE = 0o100644 << 16


def archive(source: Path, installed: str = _INSTALLED, unpacked: str = _UNPACKED) -> bytes:
    """Return the zipapp made of the modules below ``source``.

    Called as ``installed``, it keeps itself unpacked below ``unpacked``.
    """
    paths = {path.relative_to(source).as_posix(): path for name in _PATTERNS for path in source.glob(name)}
    members = [(name, paths[name].read_bytes()) for name in sorted(paths)]
    directory = f"{unpacked}/{_digest(members)}"
    main = _MAIN.format(installed=installed, unpacked=directory)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, data in [("__main__.py", main.encode()), *members]:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3
            entry.external_attr = _MODE
            # stored: deflated bytes depend on the zlib of whoever builds
            entry.compress_type = zipfile.ZIP_STORED
            bundle.writestr(entry, data)
    return _SHEBANG + buffer.getvalue()


def _digest(members: list[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, data in members:
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:_DIGEST_DIGITS]


def main() -> int:
    """Write the archive, executable, in one step."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    output = Path(sys.argv[1])
    output.parent.mkdir(parents=True, exist_ok=True)
    new = output.with_name(f".{output.name}.new")
    new.write_bytes(archive(_SOURCE))
    new.chmod(0o755)
    new.rename(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
