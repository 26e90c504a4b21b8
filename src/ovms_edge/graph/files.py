"""A graph's file: found in a directory, read, and written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.release.durable import write_atomically

GRAPH_FILE = "graph.pbtxt"


def graph_file(path: Path) -> Path:
    """Return ``path``, or the ``graph.pbtxt`` in it where it is a directory."""
    return path / GRAPH_FILE if path.is_dir() else path


def read_graph_file(path: Path) -> str:
    """Return the text of the file. Raises EdgeError if it cannot be read or is no UTF-8."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise EdgeError(f"cannot read {path}: {error.strerror}", "name a graph.pbtxt that exists") from error
    except UnicodeDecodeError as error:
        raise EdgeError(
            f"{path} is no UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}",
            "save it as UTF-8",
        ) from error


def write_graph_file(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one step. Raises EdgeError if that fails: ``path`` is as it was."""
    try:
        write_atomically(path, text.encode("utf-8"))
    except OSError as error:
        raise EdgeError(
            f"cannot write {path}: {error.strerror}", "name a file in a directory that exists and is writable"
        ) from error
