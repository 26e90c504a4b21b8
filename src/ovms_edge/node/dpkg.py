"""What dpkg's status file says of packages."""

from __future__ import annotations

from collections.abc import Iterator


def installed_stanzas(status: str, only: tuple[str, ...] = ()) -> Iterator[dict[str, str]]:
    """Yield the fields of each package that ``status`` has as installed; ``only``: of these names.

    Of a field of several lines the first one counts.
    """
    begins = tuple(f"Package: {name}\n" for name in only) or ("Package: ",)
    for stanza in status.split("\n\n"):
        if not stanza.lstrip("\n").startswith(begins):
            continue
        fields = dict(line.partition(": ")[::2] for line in stanza.splitlines() if not line.startswith(" "))
        if fields.get("Status", "").endswith(" ok installed"):
            yield fields
