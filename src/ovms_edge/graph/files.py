"""A graph's file: found in a directory, read, and written whole or not at all."""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
from contextlib import suppress
from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.release.durable import write_atomically

GRAPH_FILE = "graph.pbtxt"
_WRITABLE = "name a file in a directory that exists and is writable"


class NotUtf8Error(EdgeError):
    """The file is no UTF-8 text: ``problem`` names the first byte that is none, at ``line``, ``column``."""

    def __init__(self, path: Path, error: UnicodeDecodeError) -> None:
        """``error`` says where."""
        before = error.object[: error.start].decode("utf-8")
        self.line = before.count("\n") + 1
        self.column = len(before) - before.rfind("\n")
        self.problem = f"no UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}"
        super().__init__(f"{path}:{self.line}:{self.column}: {self.problem}", "save it as UTF-8")


def graph_file(path: Path) -> Path:
    """Return ``path``, or the ``graph.pbtxt`` in it where it is a directory."""
    return path / GRAPH_FILE if path.is_dir() else path


def output_file(text: str) -> Path:
    """Read the value of ``--output``."""
    if not text:
        raise argparse.ArgumentTypeError("the file has no name")
    return Path(text)


def read_graph_file(path: Path) -> str:
    """Return the text of the file. Raises EdgeError if it cannot be read, NotUtf8Error if it is no text."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise EdgeError(f"cannot read {path}: {error.strerror}", "name a graph.pbtxt that exists") from error
    except UnicodeDecodeError as error:
        raise NotUtf8Error(path, error) from error


def write_graph_file(path: Path, text: str) -> None:
    """Replace what ``path`` leads to by ``text`` in one step; its mode stays, and its owner where allowed.

    Raises EdgeError if that fails: ``path`` is as it was.
    """
    try:
        target = path.resolve()
        before = target.stat() if target.exists() else None
        write_atomically(target, text.encode("utf-8"))
        if before is not None:
            _keep_access(target, before)
    except (OSError, RuntimeError) as error:  # a loop of symbolic links is a RuntimeError before Python 3.13
        raise EdgeError(f"cannot write {path}: {getattr(error, 'strerror', error)}", _WRITABLE) from error
    except UnicodeEncodeError as error:
        raise EdgeError(f"cannot write {path}: the text is no UTF-8", "write the values in UTF-8") from error


def keep_original(path: Path) -> Path:
    """Copy what ``path`` leads to beside it, as ``FILE.bak`` or the first free ``FILE.bak.1``; return which.

    Raises EdgeError if that fails.
    """
    original = path.resolve()
    for number in itertools.count():
        backup = original.with_name(f"{original.name}.bak{f'.{number}' if number else ''}")
        try:
            with backup.open("xb") as stream:
                stream.write(original.read_bytes())
                stream.flush()
                os.fsync(stream.fileno())
            shutil.copystat(original, backup)
            _keep_access(backup, original.stat())
        except FileExistsError:
            continue
        except OSError as error:
            raise EdgeError(f"cannot keep {path} as {backup}: {error.strerror}", _WRITABLE) from error
        return backup
    raise AssertionError("itertools.count ends")


def _keep_access(path: Path, before: os.stat_result) -> None:
    with suppress(PermissionError):  # only root gives files away
        os.chown(path, before.st_uid, before.st_gid)
    path.chmod(before.st_mode & 0o7777)
