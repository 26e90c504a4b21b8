"""A YAML file as entries that know where they stand, so that what is wrong is told by its line."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from ovms_edge.errors import UsageError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YAML = "tag:yaml.org,2002:"
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Entry:
    """One value of the file ``file``, at ``path`` (``waves[0].soak``).

    Scalars are read as they are written: YAML itself takes 22:00 for a number and 1.10 for 1.1. Every method
    raises UsageError that names file, line and path, the value found and what to write.
    """

    file: str
    path: str
    node: yaml.Node

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.node.start_mark.line + 1}"

    @property
    def shown(self) -> str:
        """The value in short, for an error."""
        if isinstance(self.node, yaml.ScalarNode):
            return f"{self.node.value!r:.60}" if self.node.value else "empty"
        return "a mapping" if isinstance(self.node, yaml.MappingNode) else "a list"

    def error(self, found: str, remedy: str) -> UsageError:
        """Return the error that this entry has; ``found`` goes on from its path."""
        return UsageError(f"{self.place}: {self.path or 'the file'} {found}", remedy)

    def mapping(self, known: tuple[str, ...]) -> dict[str, Entry]:
        """Return the entries by key; any but ``known`` ones, or one that stands twice, is refused."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"is {self.shown}", f"write a mapping with {', '.join(known)}")
        found: dict[str, Entry] = {}
        for key_node, node in self.node.value:
            key = Entry(self.file, self.path, key_node)
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else key.shown
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise key.error(
                    f"has the key {name!r}, which is unknown", f"{hint}valid are {', '.join(known)}"
                )
            if name in found:
                raise key.error(f"has the key {name!r} twice", "keep one of them")
            found[name] = Entry(self.file, f"{self.path}.{name}".lstrip("."), node)
        return found

    def items(self) -> list[Entry]:
        """Return the entries of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error(f"is {self.shown}", "write a list")
        return [
            Entry(self.file, f"{self.path}[{number}]", node) for number, node in enumerate(self.node.value)
        ]

    @property
    def is_mapping(self) -> bool:
        """Whether it has keys."""
        return isinstance(self.node, yaml.MappingNode)

    def text(self) -> str:
        """Return a scalar as it is written."""
        if (
            not isinstance(self.node, yaml.ScalarNode)
            or self.node.tag == f"{_YAML}null"
            or not self.node.value
        ):
            raise self.error(f"is {self.shown}", "write a value, or leave the key out")
        return str(self.node.value)

    def read(self, parse: Callable[[str, str], _Value]) -> _Value:
        """Return what ``parse`` makes of the text and a name for it."""
        return parse(self.text(), f"{self.place}: {self.path}")

    def flag(self) -> bool:
        """Return true or false."""
        text = self.text()
        if self.node.tag != f"{_YAML}bool":
            raise self.error(f"is {self.shown}", "write true or false")
        return text.lower() in ("true", "yes", "on")

    def count(self) -> int:
        """Return a whole number from 1 on."""
        text = self.text()
        if not text.isascii() or not text.isdecimal() or not int(text):
            raise self.error(f"is {self.shown}", "write a whole number from 1 on")
        return int(text)

    def choice(self, *choices: str) -> str:
        """Return one of ``choices``."""
        text = self.text()
        if text not in choices:
            raise self.error(f"is {self.shown}", f"write {' or '.join(choices)}")
        return text


def read_yaml(path: Path) -> Entry:
    """Return the whole of a file; raises UsageError where it cannot be read or is not YAML."""
    try:
        node = yaml.compose(path.read_bytes().decode("utf-8"), Loader=_Loader)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", "give the path of a rollout file"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 at byte {error.start}", "save it as UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise UsageError(f"{place}: not YAML: {problem}", "correct its syntax") from error
    if node is None:
        raise UsageError(f"{path} is empty", "name a release and its waves, see docs/rollouts.md")
    return Entry(str(path), "", node)
