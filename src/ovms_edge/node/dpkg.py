"""What dpkg's status file says of packages."""

from __future__ import annotations

from collections.abc import Iterator


def installed_stanzas(status: str, only: tuple[str, ...] = ()) -> Iterator[dict[str, str]]:
    """Yield the fields of each package that ``status`` has as installed; ``only``: of these names.

    Of a field of several lines the first one counts.
    """
    for fields in known_stanzas(status, only):
        if fields["Status"].endswith(" ok installed"):
            yield fields


def known_stanzas(status: str, only: tuple[str, ...] = ()) -> Iterator[dict[str, str]]:
    """Yield those too of which something is here: half installed or removed, or settings only."""
    begins = tuple(f"Package: {name}\n" for name in only) or ("Package: ",)
    for stanza in status.split("\n\n"):
        if not stanza.lstrip("\n").startswith(begins):
            continue
        fields = dict(line.partition(": ")[::2] for line in stanza.splitlines() if not line.startswith(" "))
        if " " in (status := fields.get("Status", "")) and not status.endswith(" not-installed"):
            yield fields
