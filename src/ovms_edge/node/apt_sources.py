"""Where apt of this host gets its packages, in both forms of sources.list(5)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# `[ option=value option=value ]`, or a word; a cdrom's name in brackets belongs to its URI
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<rest>.*)")
_LOGIN = re.compile(r"(?<=//)[^/@]*@")
_OFF = ("no", "false", "without", "off", "disable")


@dataclass(frozen=True)
class Source:
    """Binary packages of one suite. ``signed_by`` is a path, a fingerprint or the key's own text.

    A login in the URI is left out and ``has_login`` set: facts are shown and logged.
    """

    file: str
    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str | None
    trusted: bool
    has_login: bool


def read_sources(apt: Path) -> list[Source]:
    """Return what the files below ``apt`` (``/etc/apt``) enable; one that cannot be read is passed over."""
    parts = apt / "sources.list.d"
    found: list[Source] = []
    for path in (apt / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))):
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue
        read = _paragraphs if path.suffix == ".sources" else _lines
        found += read(path.name, text)
    return found


def _lines(file: str, text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if match is None:
            continue
        options = dict(word.partition("=")[::2] for word in shlex.split(match["options"] or ""))
        yield _source(
            file, match["uri"], match["suite"], match["rest"].split(),
            options.get("signed-by"), options.get("trusted"),
        )  # fmt: skip


def _paragraphs(file: str, text: str) -> Iterator[Source]:
    for paragraph in re.split(r"\n\s*\n", text):
        fields = _fields(paragraph)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "").lower() in _OFF:
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                components = fields.get("components", "").split()
                yield _source(file, uri, suite, components, fields.get("signed-by"), fields.get("trusted"))


def _fields(paragraph: str) -> dict[str, str]:
    """Return the fields of a deb822 paragraph by lower-case name; a key's text keeps its lines."""
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return {name: value.strip() for name, value in fields.items()}


def _source(
    file: str, uri: str, suite: str, components: list[str], signed_by: str | None, trusted: str | None
) -> Source:
    shown = _LOGIN.sub("", uri)
    return Source(
        file=file,
        uri=shown.rstrip("/"),
        suite=suite,
        components=tuple(components),
        signed_by=signed_by or None,
        trusted=(trusted or "").lower() in ("yes", "true"),
        has_login=shown != uri,
    )
