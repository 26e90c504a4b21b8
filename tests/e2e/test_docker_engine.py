"""Role ``docker_engine`` on one store: Docker's packages; an upgrade of the distribution's under load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.apt_repository import AptRepository
from tests.e2e.fault_store import Run, Serving
from tests.e2e.load import Load, Report
from tests.e2e.switch_store import SwitchStore, bare_store

pytestmark = pytest.mark.lab

NAME = "engine-tests"
ROLE = "molecule/shared/role.yml"
MIRROR = "/srv/mirror"
VERSION = "5:26.1.5-1~ovms.edge"
# Repacked Debian packages under Docker's names; what they need of each other, and what replaces what.
INSTEAD = {"docker-ce": "docker.io", "docker-ce-cli": "docker-cli", "containerd.io": "containerd"}
NEEDS = "containerd.io, docker-ce-cli, iptables, runc, tini, libc6, libsystemd0"
DISTRIBUTIONS = {"docker.io", "docker-cli"}
UPGRADES = "/srv/upgrades"
PROXY = {"https": "http://clerk:proxy-secret@127.0.0.1:9", "no_proxy": ["10.0.0.0/8"]}
PAUSE = 1.0  # seconds: the store generates on the processors that the upgrade needs


@dataclass(frozen=True)
class Dockers:
    """A mirror of Docker's repository on the store; its lists are signed with ``key``, not with ``other``."""

    key: str
    other: str
    fingerprints: dict[str, str]

    def inputs(self, key: str) -> dict[str, Any]:
        return {
            "docker_engine_source": "docker",
            "docker_engine_repository_url": f"file:{MIRROR}",
            "docker_engine_repository_key": key,
            "docker_engine_repository_key_fingerprint": self.fingerprints[key],
        }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwitchStore]:
    with bare_store(NAME, tmp_path_factory.mktemp("inventory")) as found:
        yield found


@pytest.fixture(scope="module")
def dockers(store: SwitchStore) -> Dockers:
    mirror = AptRepository(store, f"{MIRROR}/linux/debian", "Docker")
    for package, debians in INSTEAD.items():
        alone = {"Conflicts": debians, "Replaces": debians, "Provides": debians, "Breaks": ""}
        needs = {"Depends": NEEDS} if package == "docker-ce" else {}
        mirror.add(package, VERSION, debians, **alone, **needs)
    mirror.add("runc", "99", "runc")  # newer than the distribution's, and nothing of Docker's engine
    key, other = mirror.publish(), mirror.key("other")
    return Dockers(key, other, {key: mirror.fingerprint(), other: mirror.fingerprint("other")})


def play(store: SwitchStore, *options: str, **inputs: Any) -> Run:
    return store.playbook(ROLE, *options, tested_role="docker_engine", **inputs)


def changed(run: Run) -> int:
    assert run.status == 0, run.output
    found = re.search(rf"{NAME}\s*: ok=\d+\s+changed=(\d+)", run.output)
    assert found, run.output
    return int(found[1])


def held(store: SwitchStore) -> set[str]:
    return set(store.run("apt-mark", "showhold").split())


def versions(store: SwitchStore, *packages: str) -> set[str]:
    return set(store.run("dpkg-query", "--show", "--showformat=${Version}\n", *packages).split())


def daemon_json(store: SwitchStore) -> str:
    return store.run("cat", "/etc/docker/daemon.json")


def proxy_of(store: SwitchStore) -> str:
    return store.run("docker", "info", "--format", "{{.HTTPSProxy}}").strip()


def engine_pid(store: SwitchStore) -> str:
    return store.run("systemctl", "show", "--property=MainPID", "docker.service")


def test_a_repository_that_another_key_signed_is_refused(store: SwitchStore, dockers: Dockers) -> None:
    run = play(store, **dockers.inputs(dockers.other))
    assert run.status != 0, run.output
    assert "is not signed" in run.output
    assert "docker_engine_repository_url and _key" in run.output
    assert store.shell("command -v dockerd || true") == ""


def test_dockers_packages_alone_come_from_dockers_repository(store: SwitchStore, dockers: Dockers) -> None:
    assert changed(play(store, **dockers.inputs(dockers.key))) > 0
    assert versions(store, "docker-ce", "docker-ce-cli") == {VERSION}
    assert "99" not in versions(store, "runc")
    assert held(store) == set(INSTEAD)
    assert "26.1.5" in store.run("docker", "version", "--format", "{{.Server.Version}}")


def test_an_engine_of_the_other_source_is_kept_and_said(store: SwitchStore, dockers: Dockers) -> None:
    run = play(store)
    assert changed(run) == 0
    assert (
        "docker_engine_source is distribution, and the engine that is here is one from Docker" in run.output
    )
    assert changed(play(store, "--check", **dockers.inputs(dockers.key))) == 0


@pytest.fixture(scope="module")
def serving(store: SwitchStore, dockers: Dockers) -> SwitchStore:
    """The store as the distribution's engine serves on it."""
    store.shell(
        f"apt-get purge -qq -y --allow-change-held-packages {' '.join(INSTEAD)} >/dev/null 2>&1; "
        "rm -rf /etc/apt/*/ovms-edge-docker.*; apt-get update -qq"
    )
    run = store.playbook("site.yml")
    assert run.status == 0, run.output
    return store


@pytest.fixture(scope="module")
def newer(serving: SwitchStore) -> str:
    """Return a version of the engine that apt has and that is newer than the one that is installed."""
    (there,) = versions(serving, *DISTRIBUTIONS)
    repository, version = AptRepository(serving, UPGRADES, "tests"), f"{there}+newer"
    for package in DISTRIBUTIONS:
        repository.add(package, version, package)
    key = "/etc/apt/keyrings/tests.asc"
    serving.put(key, repository.publish())
    sources = f"deb [signed-by={key}] file:{UPGRADES} {repository.suite} {repository.component}\n"
    serving.put("/etc/apt/sources.list.d/tests.list", sources)
    return version


@dataclass(frozen=True)
class Upgrade:
    """A run under load: another version, other settings, and live-restore is off in the engine that runs."""

    run: Run
    report: Report
    before: Serving
    engine_before: str


@pytest.fixture(scope="module")
def upgrade(serving: SwitchStore, newer: str) -> Upgrade:
    serving.shell(
        'sed -i \'s/"live-restore": true/"live-restore": false, "debug": true/\' /etc/docker/daemon.json && '
        "systemctl reload docker"
    )
    assert held(serving) == DISTRIBUTIONS
    before, engine = serving.serving(), engine_pid(serving)
    with Load(serving.endpoint(), pause=PAUSE) as load:
        run = play(serving, "--diff", docker_engine_version=newer, docker_engine_proxy=PROXY)
        load.wait_for(1)
    assert changed(run) > 0
    return Upgrade(run, load.report(), before, engine)


def test_an_upgrade_of_the_engine_fails_no_request(serving: SwitchStore, upgrade: Upgrade) -> None:
    assert upgrade.report.count > 0
    assert upgrade.report.faults == []
    assert serving.node("verify")["ok"]


def test_it_is_the_new_engine_that_runs_and_the_old_container(
    serving: SwitchStore, upgrade: Upgrade, newer: str
) -> None:
    assert versions(serving, *DISTRIBUTIONS) == {newer}
    assert engine_pid(serving) != upgrade.engine_before
    assert serving.shell("readlink /proc/$(cat /run/docker.pid)/exe").strip() == "/usr/sbin/dockerd"
    assert serving.serving() == upgrade.before


def test_it_is_held_again(serving: SwitchStore, upgrade: Upgrade) -> None:
    assert held(serving) == DISTRIBUTIONS


def test_what_an_operator_has_in_daemon_json_stays(serving: SwitchStore, upgrade: Upgrade) -> None:
    assert '"debug": true' in daemon_json(serving)
    assert '"live-restore": true' in daemon_json(serving)


def test_the_proxy_is_used_and_its_password_is_seen_nowhere(serving: SwitchStore, upgrade: Upgrade) -> None:
    assert "127.0.0.1:9" in proxy_of(serving)
    shown = upgrade.run.output + serving.run("systemctl", "show", "docker.service") + proxy_of(serving)
    assert "proxy-secret" not in shown


def test_a_proxy_that_is_wanted_no_more_goes(serving: SwitchStore, upgrade: Upgrade) -> None:
    assert changed(play(serving)) > 0
    assert proxy_of(serving) == ""
    assert changed(play(serving, "--check")) == 0
