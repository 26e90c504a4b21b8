"""API keys and the registry's password: in the files that need them, and nowhere else."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.fault_store import LAB, ROOT
from tests.e2e.load import Load, ask_once
from tests.e2e.switch_store import SwitchStore
from tests.e2e.two_releases import Two

pytestmark = pytest.mark.lab

KEY_LENGTH = 40
# What Docker and ovms-node log in with, root's alone.
PASSWORD_FILES = {"/root/.docker/config.json"}
WATCHED = "/root/command-lines"
# What every process says of itself, until told to end.
WATCH = f"""
rm -f {WATCHED}*
until [ -e {WATCHED}.end ]; do
    cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null
    sleep 0.02
done | tr '\\0' '\\n' | sort -u > {WATCHED}
"""
PLACES = ("/etc", "/root", "/home", "/run", "/tmp", "/var/lib/ovms-edge", "/var/log", "/usr/local")  # noqa: S108


def forms_of(secret: str) -> list[str]:
    """As it is, and what base64 makes of it in a login: a form for each offset in a group of three."""
    forms = [secret]
    for offset in range(3):
        encoded = base64.b64encode(b"." * offset + secret.encode()).decode()
        forms.append(encoded[(8 * offset + 5) // 6 : 8 * (offset + len(secret)) // 6])
    return forms


@pytest.fixture
def key() -> str:
    return secrets.token_hex(KEY_LENGTH // 2)


@pytest.fixture
def password() -> str:
    return (LAB / "depot/password").read_text().strip()


@contextmanager
def command_lines_watched(store: SwitchStore) -> Iterator[None]:
    store.run("systemd-run", "--quiet", "--unit=watch", "sh", "-c", WATCH)
    try:
        yield
    finally:
        store.shell(f"touch {WATCHED}.end; while systemctl is-active --quiet watch; do sleep 0.1; done")


def found_in(text: str, forms: list[str]) -> list[str]:
    return [form for form in forms if form in text]


def test_nothing_shows_a_secret(two: Two, key: str, password: str, tmp_path: Path) -> None:
    store = two.store
    inputs = tmp_path / "inputs.json"
    release = str(two.refs[0])
    inputs.write_text(json.dumps({
        "ovms_gateway_api_keys": [{"name": "till", "key": key}],
        "model_release_ref": release,
        "ovms_server_release": release,
    }))  # fmt: skip
    forms = forms_of(key) + forms_of(password)
    said = []
    try:
        with command_lines_watched(store):
            for playbook in ("site.yml", "playbooks/prepare_hosts.yml"):
                run = store.playbook(playbook, "--diff", "-vvv", "-e", f"@{inputs}")
                assert run.status == 0, run.output
                said.append(run.output)
            endpoint = replace(store.endpoint(), api_key=key)
            with Load(endpoint) as load:
                said += [json.dumps(two.activate(1, tier="B")), json.dumps(two.activate(0, tier="A"))]
                for command in ("status", "facts", "verify", "tend", "gc", "rollback"):
                    said.append(json.dumps(store.node(command)))
            assert load.report().faults == []
            assert ask_once(replace(endpoint, api_key=key[::-1])).status in (401, 403)
            said.append(json.dumps(store.activate("no-such@1.0.0")))
            said.append(store.shell("docker inspect $(docker ps -aq)"))
        said.append(store.run("journalctl", "--no-pager", "--output=json"))
        said.append(store.run("cat", WATCHED))
        files = holding(store, forms)
    finally:
        again = store.playbook("playbooks/prepare_hosts.yml")
        two.activate(0)
    assert again.status == 0, again.output
    assert [found_in(text, forms) for text in said] == [[]] * len(said)
    assert files == PASSWORD_FILES


def test_the_search_finds_what_is_there(two: Two, password: str) -> None:
    """So the test above does not pass by not looking."""
    store = two.store
    assert holding(store, forms_of(password)) == PASSWORD_FILES
    with command_lines_watched(store):
        store.shell("sh -c 'sleep 1; : in-a-command-line'")
        store.shell("IN_AN_ENVIRONMENT=1 sleep 1")
    seen = store.run("cat", WATCHED)
    assert "in-a-command-line" in seen
    assert "IN_AN_ENVIRONMENT=1" in seen


def holding(store: SwitchStore, forms: list[str]) -> set[str]:
    """Return the files on the store that hold one of ``forms``; the patterns go past the command line."""
    done = subprocess.run(
        [
            *(ROOT / "lab/lab", "exec", store.name),
            *("grep", "--recursive", "--files-with-matches", "--binary-files=text", "--fixed-strings"),
            *("--devices=skip", "--file=-", *PLACES),
        ],
        input="\n".join(forms),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # of files that went away meanwhile
        text=True,
        check=False,
    )
    return set(done.stdout.split())
