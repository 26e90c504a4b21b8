"""A golden set as its author keeps it: a directory with ``golden.json`` and the images it names."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.golden import GOLDEN_DIRECTORY, Case, read_case

GOLDEN_FILE = "golden.json"
SCHEMA = "ovms-edge.golden/1"


@dataclass(frozen=True)
class GoldenSet:
    """The cases in ``directory``; their images are relative to it."""

    directory: Path
    cases: tuple[Case, ...]

    @property
    def images(self) -> tuple[str, ...]:
        """Every image once, sorted."""
        return tuple(sorted({path for case in self.cases for path in case.images}))

    @property
    def release_images(self) -> tuple[str, ...]:
        """Where the images lie in a release."""
        return tuple(f"{GOLDEN_DIRECTORY}/{path}" for path in self.images)

    @property
    def entries(self) -> tuple[dict[str, Any], ...]:
        """What the manifest holds of it."""
        moved = (tuple(f"{GOLDEN_DIRECTORY}/{path}" for path in case.images) for case in self.cases)
        return tuple(
            replace(case, images=images).document() for case, images in zip(self.cases, moved, strict=True)
        )


def no_golden() -> GoldenSet:
    """Return the empty set."""
    return GoldenSet(Path(), ())


def read_golden(directory: Path) -> GoldenSet:
    """Read a set; raises EdgeError naming the case, key or image that cannot be used."""
    path = directory / GOLDEN_FILE
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise EdgeError(
            f"{path} cannot be read: {error.strerror}", "see docs/golden.md for its form, or record one"
        ) from error
    except ValueError as error:
        raise EdgeError(f"{path} is not JSON: {error}", "see docs/golden.md for its form") from error
    if (
        not isinstance(document, dict)
        or document.get("schema") != SCHEMA
        or set(document) != {"schema", "cases"}
    ):
        raise EdgeError(f"{path} is no golden set", f'write {{"schema": "{SCHEMA}", "cases": [...]}}')
    if not isinstance(document["cases"], list) or not document["cases"]:
        raise EdgeError(f"{path} has no cases", "write a list of one or more")
    cases = tuple(_case(entry, path) for entry in document["cases"])
    ids = [case.id for case in cases]
    for name in ids:
        if ids.count(name) > 1:
            raise EdgeError(f"{path} has two cases {name!r}", "give each an id of its own")
    golden = GoldenSet(directory, cases)
    for image in golden.images:
        if not (directory / image).is_file():
            raise EdgeError(f"{directory / image} is not a file", f"put the image there, or mend {path}")
    return golden


def golden_bytes(golden: GoldenSet) -> bytes:
    """Return ``golden.json`` of a set."""
    document = {"schema": SCHEMA, "cases": [case.document() for case in golden.cases]}
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _case(entry: object, path: Path) -> Case:
    try:
        return read_case(entry)
    except EdgeError as error:
        raise EdgeError(f"{path}: {error.reason}", error.remedy) from error
