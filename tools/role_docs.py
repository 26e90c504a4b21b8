"""Rewrite the input tables of the role READMEs from meta/argument_specs.yml.

Usage: python tools/role_docs.py [--check]

With --check nothing is written; the exit status is 1 if a README is not current.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parent.parent / "roles"
BEGIN, END = "<!-- inputs -->", "<!-- /inputs -->"
# More keys than this would bury the role's other inputs: they are named in their owner's row instead.
MOST_NESTED_ROWS = 6

_HEAD = ("| input | type | default | what |", "|---|---|---|---|")
_MARKUP = re.compile(r"[CO]\(([^)]*)\)")


class NotCurrentError(Exception):
    """A README that cannot be brought up to date, or is to be; the text is ``reason; remedy``."""


def table(options: Mapping[str, Any]) -> str:
    """Return the Markdown table of a spec's ``options``, in their order."""
    return "\n".join((*_HEAD, *_rows(options, "")))


def with_table(readme: str, new: str) -> str:
    """Return ``readme`` with ``new`` between the markers; raises NotCurrentError without one pair of them."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in before + after:
        raise NotCurrentError(f"has not one {BEGIN} and {END} after it; put them around the table's place")
    return f"{before}{BEGIN}\n{new}\n{END}{after}"


def _rows(options: Mapping[str, Any], owner: str) -> Iterator[str]:
    for key, option in options.items():
        name, nested = owner + key, option.get("options", {})
        split = 0 < len(nested) <= MOST_NESTED_ROWS
        what = _what(option, {} if split else nested)
        yield f"| `{name}` | {_type(option)} | {_default(option)} | {what} |"
        if split:
            yield from _rows(nested, f"{name}[]." if option["type"] == "list" else f"{name}.")


def _type(option: Mapping[str, Any]) -> str:
    return f"list of {option['elements']}" if option["type"] == "list" else str(option["type"])


def _default(option: Mapping[str, Any]) -> str:
    if option.get("required"):
        return "required"
    value = option.get("default")
    if value is None:
        return "none"
    return f"`{value}`" if isinstance(value, str) and value else f"`{json.dumps(value)}`"


def _what(option: Mapping[str, Any], keys: Mapping[str, Any]) -> str:
    description = option["description"]
    sentences = [description] if isinstance(description, str) else list(description)
    for label, names in (("One of", option.get("choices")), ("Keys:", keys)):
        if names:
            sentences.append(f"{label} {', '.join(f'`{name}`' for name in names)}.")
    return _MARKUP.sub(r"`\1`", " ".join(sentences)).replace("|", r"\|")


def _update(role: Path, check: bool) -> None:
    readme, spec = role / "README.md", role / "meta/argument_specs.yml"
    if not readme.is_file():
        raise NotCurrentError(f"is missing; write it, with {BEGIN} and {END} where the inputs belong")
    old = readme.read_text()
    new = with_table(old, table(yaml.safe_load(spec.read_text())["argument_specs"]["main"]["options"]))
    if new != old and check:
        raise NotCurrentError("differs from meta/argument_specs.yml; run `make role-docs`")
    if new != old:
        readme.write_text(new)


def main() -> int:
    """Bring every role's README up to date, or check that it is; all that is wrong is said at once."""
    if sys.argv[1:] not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    status = 0
    for role in sorted(path.parent.parent for path in ROLES.glob("*/meta/argument_specs.yml")):
        try:
            _update(role, check="--check" in sys.argv)
        except NotCurrentError as error:
            print(f"roles/{role.name}/README.md {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
