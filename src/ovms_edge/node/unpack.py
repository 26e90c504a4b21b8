"""The code of the tool, unpacked where Python keeps it compiled: from a zip it compiles all at each call.

The place is below /run: what a power failure leaves of it is gone at the next boot.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path


def unpack(archive: Path, target: Path) -> None:
    """Make ``target`` a directory with the content of the zip file ``archive``, whole or not at all.

    No failure: the archive runs as well, only slower.
    """
    with suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            with zipfile.ZipFile(archive) as bundle:
                bundle.extractall(new)
            new.rename(target)
        finally:
            shutil.rmtree(
                new, ignore_errors=True
            )  # there still: the disk is full, or another call was quicker
