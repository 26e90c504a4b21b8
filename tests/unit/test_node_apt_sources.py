from __future__ import annotations

from pathlib import Path

import pytest

from ovms_edge.node.apt_sources import Source, read_sources

KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n.\nmQINBF\n-----END PGP PUBLIC KEY BLOCK-----"


def sources(tmp_path: Path, name: str, text: str) -> list[Source]:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return read_sources(tmp_path)


def test_a_host_without_sources_has_none(tmp_path: Path) -> None:
    assert read_sources(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "signed_by", "trusted"),
    [
        ("deb http://mirror.example/debian bookworm main contrib", None, False),
        ("deb [ signed-by=/k arch=a ]  http://mirror.example/debian/  bookworm main contrib", "/k", False),
        ("  deb [trusted=yes] http://mirror.example/debian bookworm main contrib", None, True),
    ],
)  # fmt: skip
def test_one_line_form(tmp_path: Path, line: str, signed_by: str | None, trusted: bool) -> None:
    (found,) = sources(
        tmp_path, "sources.list", f"# deb http://old bullseye main\n{line}\ndeb-src http://x bookworm main\n"
    )
    assert found == Source(
        "sources.list",
        "http://mirror.example/debian",
        "bookworm",
        ("main", "contrib"),
        signed_by,
        trusted,
        False,
    )


def test_deb822_form_with_several_suites_and_a_key_in_it(tmp_path: Path) -> None:
    text = (
        "# the mirror\nTypes: deb deb-src\nURIs: http://a.example/ubuntu\n# a comment\n"
        "Suites: noble\n noble-updates\n"
        f"Components: main universe\nSigned-By:\n {KEY.replace(chr(10), chr(10) + ' ')}\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://b.example\nSuites: noble\nComponents: main\n\n"
        "Types: deb-src\nURIs: http://c.example\nSuites: noble\nComponents: main\n"
    )
    found = sources(tmp_path, "sources.list.d/ubuntu.sources", text)
    assert [(source.suite, source.components) for source in found] == [
        ("noble", ("main", "universe")),
        ("noble-updates", ("main", "universe")),
    ]
    assert found[0].signed_by == KEY
    assert found[0].file == "ubuntu.sources"


def test_a_login_is_not_in_the_facts(tmp_path: Path) -> None:
    (found,) = sources(
        tmp_path, "sources.list.d/a.list", "deb https://store:secret@mirror.example/debian trixie main"
    )
    assert found.has_login
    assert "secret" not in repr(found)
    assert found.uri == "https://mirror.example/debian"


def test_other_files_are_not_apts(tmp_path: Path) -> None:
    assert sources(tmp_path, "sources.list.d/a.list.save", "deb http://a trixie main") == []
