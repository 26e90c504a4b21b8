from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.manifest import ReleaseRef
from ovms_edge.release.build import build_release
from ovms_edge.release.inspect import inspect_directory, to_text
from ovms_edge.release.sign import sign_release
from ovms_edge.release.sshsig import key_fingerprint
from tests.unit.release_model import write_model


def make_key(path: Path, passphrase: str = "") -> Path:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", path], check=True
    )
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "key")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    model = write_model(tmp_path / "model")
    return build_release(model, ReleaseRef("vlm", "1"), tmp_path / "out", ("2025.4.1",)).directory


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A running, empty SSH agent."""
    said = subprocess.run(["ssh-agent", "-s"], check=True, capture_output=True, text=True).stdout
    settings = dict(line.split(";")[0].split("=") for line in said.splitlines() if "=" in line)
    monkeypatch.setenv("SSH_AUTH_SOCK", settings["SSH_AUTH_SOCK"])
    yield
    os.kill(int(settings["SSH_AGENT_PID"]), 15)


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def test_nodes_verify_the_signature_with_openssh_alone(release: Path, key: Path, tmp_path: Path) -> None:
    signer, new = sign_release(release, key)
    assert (signer.fingerprint, new) == (key_fingerprint(key), True)
    signers = tmp_path / "allowed_signers"
    signers.write_text(f"builder@example {key.with_suffix('.pub').read_text()}")
    verify = ["ssh-keygen", "-Y", "verify", "-n", "ovms-edge-release", "-I", "builder@example"]
    done = subprocess.run(
        [*verify, "-f", signers, "-s", release / "manifest.json.sig"],
        input=(release / "manifest.json").read_bytes(),
        check=False,
    )
    assert done.returncode == 0


def test_signing_again_with_the_same_key_changes_nothing(release: Path, key: Path) -> None:
    sign_release(release, key)
    before = (release / "manifest.json.sig").stat()
    _, new = sign_release(release, key)
    assert not new
    assert (release / "manifest.json.sig").stat().st_mtime_ns == before.st_mtime_ns


def test_another_key_replaces_the_signature(release: Path, key: Path, tmp_path: Path) -> None:
    sign_release(release, key)
    before = sorted(release.iterdir())
    other = make_key(tmp_path / "other")
    signer, new = sign_release(release, other)
    assert new
    assert signer.fingerprint == key_fingerprint(other) != key_fingerprint(key)
    assert sorted(release.iterdir()) == before


def test_key_with_a_passphrase_is_an_error_and_no_prompt(release: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="ssh-add"):
        sign_release(release, make_key(tmp_path / "locked", "secret"))
    assert not (release / "manifest.json.sig").exists()


def test_key_with_a_passphrase_signs_through_the_agent(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: None
) -> None:
    locked = make_key(tmp_path / "locked")
    subprocess.run(["ssh-add", "-q", locked], check=True)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", locked], check=True)
    assert sign_release(release, locked)[1]
    (release / "manifest.json.sig").unlink()
    assert sign_release(release, locked.with_suffix(".pub"))[1]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda key: key.chmod(0o644), "chmod 600"),
        (lambda key: key.unlink(), "no key"),
        (lambda key: key.write_text("junk"), "no SSH key"),
        (lambda key: key.write_bytes(key.with_suffix(".pub").read_bytes()), "private half is in no agent"),
    ],
)
def test_unusable_key_is_named(release: Path, key: Path, spoil: object, expected: str) -> None:
    assert callable(spoil)
    spoil(key)
    with pytest.raises(EdgeError, match=expected):
        sign_release(release, key)


def test_edited_manifest_is_not_signed(release: Path, key: Path) -> None:
    path = release / "manifest.json"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(EdgeError, match="edited"):
        sign_release(release, key)


def test_directory_without_a_manifest_is_no_release(tmp_path: Path, key: Path) -> None:
    with pytest.raises(EdgeError, match="is no release"):
        sign_release(tmp_path, key)


def test_inspect_says_who_signed(release: Path, key: Path, tmp_path: Path) -> None:
    assert inspect_directory(release).signer is None
    assert "unsigned" in to_text(inspect_directory(release), trust_checked=False)
    sign_release(release, key)
    assert key_fingerprint(key) in to_text(inspect_directory(release), trust_checked=False)
    signers = tmp_path / "allowed_signers"
    signers.write_text(f"builder@example {key.with_suffix('.pub').read_text()}")
    assert "builder@example" in to_text(inspect_directory(release, signers), trust_checked=True)
    signers.write_text(f"x@example {make_key(tmp_path / 'x').with_suffix('.pub').read_text()}")
    assert "NOT in the allowed signers" in to_text(inspect_directory(release, signers), trust_checked=True)


def test_inspect_sees_a_signature_of_something_else(release: Path, key: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", weight=b"v")
    elsewhere = build_release(other, ReleaseRef("vlm", "2"), tmp_path / "out", ("2025.4.1",)).directory
    sign_release(elsewhere, key)
    (release / "manifest.json.sig").write_bytes((elsewhere / "manifest.json.sig").read_bytes())
    found = inspect_directory(release)
    assert (found.signed, found.signer) == (True, None)
    assert "WRONG" in to_text(found, trust_checked=False)


def test_inspect_names_what_is_missing(release: Path) -> None:
    (release / "config.json").unlink()
    assert inspect_directory(release).missing == ("config.json",)
