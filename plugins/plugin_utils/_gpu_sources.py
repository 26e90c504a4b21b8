# SPDX-License-Identifier: Apache-2.0
"""Package sources, pins and keys that role ``intel_gpu`` writes. Private to this collection.

A source comes from where the host's own packages come from, so that a mirror of the host serves it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

SOURCES = "/etc/apt/sources.list.d/ovms-edge-gpu.sources"
PINS = "/etc/apt/preferences.d/ovms-edge-gpu"
KEY = "/etc/apt/keyrings/ovms-edge-gpu.asc"
_HEADER = "# Written by role ovms.edge.intel_gpu: changes are lost.\n"
_KEY_LINES = "-----BEGIN"
_COMMON = ("main", "restricted", "universe", "multiverse", "contrib", "non-free", "non-free-firmware")


class RefusedError(Exception):
    """A source cannot be had; the text is ``reason; remedy``."""


@dataclass
class Origin:
    """One suite and component: where it is, and which packages may come from there."""

    uri: str
    suite: str
    component: str
    signed_by: str | None
    trusted: bool
    pin: str
    packages: list[str] = field(default_factory=list)
    closed: bool = False


def files(
    parts: Mapping[str, Any] | None, facts: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[list[dict[str, str]], str | None]:
    """Return the files to write before packages are installed, or why there can be none."""
    if parts is None:
        return [], (
            f"the kernel and firmware of {facts['os']['name']} are not known to this role; install them by "
            "hand (docs/hardware-verification.md says what has to come of it) and run again"
        )
    try:
        origins = list(_origins(parts, facts, settings))
    except RefusedError as error:
        return [], str(error)
    written = [
        _file(path, text) for path, text in ((SOURCES, _sources(origins)), (PINS, _pins(origins))) if text
    ]
    repository = settings["repository"]
    if settings["runtime"] and repository:
        written.insert(0, _file(KEY, repository["key"].strip() + "\n"))
    return written, None


def _file(path: str, content: str) -> dict[str, str]:
    return {"path": path, "mode": "0644", "content": content}


def _origins(
    parts: Mapping[str, Any], facts: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterable[Origin]:
    """Yield what each part needs; what the host has already only where a pin is needed to get it."""
    names = ["kernel", "firmware", *(["runtime"] if settings["runtime"] and parts.get("runtime") else [])]
    by_place: dict[tuple[str, str, str], Origin] = {}
    for name in names:
        part = parts[name]
        for origin in _of_part(part, parts, facts, settings):
            kept = by_place.setdefault((origin.uri, origin.suite, origin.component), origin)
            kept.packages += [
                package
                for package in (*part["packages"], *part.get("pulls", []))
                if package not in kept.packages
            ]
    return by_place.values()


def _of_part(
    part: Mapping[str, Any], parts: Mapping[str, Any], facts: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterable[Origin]:
    if part.get("repository") or (settings["repository"] and part is parts.get("runtime")):
        yield from _of_repository(part, facts, settings["repository"])
        return
    own = [source for source in facts["gpu_driver"]["sources"] if not SOURCES.endswith(f"/{source['file']}")]
    main = _main(own, parts, facts, settings["mirror"])
    for suite in part["suites"]:
        there = any(source["suite"] == suite and part["component"] in source["components"] for source in own)
        backports = suite.endswith("-backports")
        if there and not settings["mirror"]:
            # The host's own choice stays as it is; but packages of backports come only by name.
            if backports:
                yield Origin("", suite, part["component"], None, False, _pin(parts, suite, part["component"]))
            continue
        closed = backports or part["component"] != "main"
        yield Origin(
            main["uri"], suite, part["component"], main["signed_by"], main["trusted"],
            _pin(parts, suite, part["component"]), closed=closed,
        )  # fmt: skip


def _pin(parts: Mapping[str, Any], suite: str, component: str) -> str:
    """Return what apt_preferences(5) knows a suite by.

    The name of Ubuntu's updates is that of their release, so there it is the archive's name.
    """
    return f"release {'n' if parts['archive'] == 'debian' else 'a'}={suite}, c={component}"


def _main(
    own: list[Mapping[str, Any]], parts: Mapping[str, Any], facts: Mapping[str, Any], mirror: str | None
) -> dict[str, Any]:
    """Return where the distribution's own packages are: at the mirror, or where the host has them from."""
    if mirror:
        return {
            "uri": f"{mirror.rstrip('/')}/{parts['archive']}",
            "signed_by": parts["keyring"],
            "trusted": False,
        }
    codename = facts["os"]["codename"]
    for source in own:
        if source["suite"] == codename and "main" in source["components"]:
            if source["has_login"]:
                raise RefusedError(
                    f"the login to {source['uri']} stands in /etc/apt; move it to /etc/apt/auth.conf.d "
                    "(apt_auth.conf(5)), or set intel_gpu_mirror"
                )
            return {**source, "signed_by": source["signed_by"] or parts["keyring"]}
    raise RefusedError(
        f"no source of {codename} main in /etc/apt/sources.list and sources.list.d; "
        "add it, or set intel_gpu_mirror"
    )


def _of_repository(
    part: Mapping[str, Any], facts: Mapping[str, Any], repository: Mapping[str, Any] | None
) -> Iterable[Origin]:
    if not repository:
        raise RefusedError(
            f"{part['repository']} on {facts['os']['name']}; set intel_gpu_runtime_repository "
            "(README of role intel_gpu), or intel_gpu_runtime to false"
        )
    for suite in repository["suites"]:
        for component in repository["components"]:
            # A component of its own tells it from a mirror's other archives, which are on the same host.
            host = urlsplit(repository["url"]).hostname
            pin = f'origin "{host}"' if component in _COMMON else f"release c={component}"
            yield Origin(repository["url"].rstrip("/"), suite, component, KEY, False, pin, closed=True)


def _sources(origins: Iterable[Origin]) -> str:
    paragraphs = []
    for origin in origins:
        if not origin.uri:
            continue
        lines = [
            "Types: deb",
            f"URIs: {origin.uri}",
            f"Suites: {origin.suite}",
            f"Components: {origin.component}",
            f"Signed-By:{_signed_by(origin.signed_by)}" if origin.signed_by else "",
            "Trusted: yes" if origin.trusted else "",
        ]
        paragraphs.append("".join(f"{line}\n" for line in lines if line))
    return _HEADER + "\n".join(paragraphs) if paragraphs else ""


def _signed_by(signed_by: str | None) -> str:
    """Return the value of the field: a path or fingerprint, or the lines of a key."""
    text = signed_by or ""
    if _KEY_LINES not in text:
        return f" {text}"
    return "".join(f"\n {line or '.'}" for line in text.splitlines())


def _pins(origins: Iterable[Origin]) -> str:
    """Return records that let the named packages in, and nothing else from a place new to the host."""
    records = []
    for origin in origins:
        if not origin.closed and origin.uri:
            continue
        records.append((" ".join(origin.packages), origin.pin, 990))
        if origin.closed:
            records.append(("*", origin.pin, -1))
    text = "\n".join(f"Package: {names}\nPin: {pin}\nPin-Priority: {rank}\n" for names, pin, rank in records)
    return _HEADER + text if text else ""
