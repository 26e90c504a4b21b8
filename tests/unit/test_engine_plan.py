"""What role ``docker_engine`` makes of a host's engine."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.ovms.edge.plugins.plugin_utils._engine_plan import (
    SOURCES_FILE,
    Plan,
    obstacles,
    plan_of,
)
from ansible_collections.ovms.edge.plugins.plugin_utils._role_inputs import spec_of

GIB = 2**30
BARE: dict[str, Any] = {
    "installed": False,
    "running": False,
    "version": None,
    "source": None,
    "packages": {},
    "repositories": [],
    "outdated": False,
    "live_restore": None,
    "swarm": False,
    "proxy": False,
    "root": "/var/lib/docker",
    "has_data": False,
    "driver": None,
    "d_type": None,
    "disk": {"path": "/var/lib/docker", "file_system": "ext4", "free_bytes": 50 * GIB},
}
RUNNING: dict[str, Any] = {
    **BARE,
    "installed": True,
    "running": True,
    "version": "26.1.5+dfsg1",
    "source": "distribution",
    "packages": {name: {"version": "26.1.5-9", "held": True} for name in ("docker.io", "docker-cli")},
    "live_restore": True,
    "has_data": True,
    "driver": "overlay2",
    "d_type": True,
}
DOCKERS: dict[str, Any] = {
    **RUNNING,
    "source": "docker",
    "packages": {
        name: {"version": version, "held": True}
        for name, version in (
            ("docker-ce", "5:28.0-1"),
            ("docker-ce-cli", "5:28.0-1"),
            ("containerd.io", "1.7"),
        )
    },
    "repositories": [SOURCES_FILE],
}


def inputs(**changes: Any) -> dict[str, Any]:
    options = spec_of("docker_engine").items()
    return {name.removeprefix("docker_engine_"): option.get("default") for name, option in options} | changes


def facts(docker: dict[str, Any], **changes: Any) -> dict[str, Any]:
    system = {"id": "debian", "version_id": "13", "name": "Debian GNU/Linux 13 (trixie)"}
    return {"os": system | changes.pop("os", {}), "docker": docker | changes}


def plan(docker: dict[str, Any], wanted: dict[str, Any] | None = None, **changes: Any) -> Plan:
    assert obstacles(inputs(**(wanted or {})), facts(docker, **changes)) == []
    return plan_of(inputs(**(wanted or {})), facts(docker, **changes))


def without_hold(docker: dict[str, Any], *packages: str) -> dict[str, Any]:
    return {
        name: {**there, "held": there["held"] and name not in packages}
        for name, there in docker["packages"].items()
    }


@pytest.mark.parametrize(("distribution", "version", "packages"), [
    ("debian", "12", ["docker.io"]),
    ("debian", "13", ["docker.io", "docker-cli"]),
    ("ubuntu", "22.04", ["docker.io"]),
    ("ubuntu", "24.04", ["docker.io"]),
])  # fmt: skip
def test_a_bare_host_gets_its_distributions_packages_held(
    distribution: str, version: str, packages: list[str]
) -> None:
    found = plan(BARE, os={"id": distribution, "version_id": version})
    assert found == Plan(
        packages, dict.fromkeys(packages, "hold"), False, reload=False, restart=False, notes=[]
    )


def test_a_bare_host_gets_dockers_packages_and_repository() -> None:
    found = plan(BARE, {"source": "docker"})
    assert found.packages == ["docker-ce", "docker-ce-cli", "containerd.io"]
    assert found.repository


@pytest.mark.parametrize(("docker", "wanted"), [
    (RUNNING, {}),
    (RUNNING, {"version": "26.1.5-9"}),
    (DOCKERS, {"source": "docker", "version": "5:28.0-1"}),
])  # fmt: skip
def test_a_host_that_has_what_is_wanted_lacks_nothing(docker: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = plan(docker, wanted)
    assert (found.packages, found.selections, found.reload, found.notes) == ([], {}, False, [])


@pytest.mark.parametrize(("docker", "source", "version", "packages"), [
    (RUNNING, "distribution", "27.0-1", ["docker.io=27.0-1", "docker-cli=27.0-1"]),
    (DOCKERS, "docker", "5:29.0-1", ["docker-ce=5:29.0-1", "docker-ce-cli=5:29.0-1"]),
])  # fmt: skip
def test_another_version_is_installed_and_held_again(
    docker: dict[str, Any], source: str, version: str, packages: list[str]
) -> None:
    found = plan(docker, {"source": source, "version": version})
    assert found.packages == packages
    assert found.selections == dict.fromkeys(docker["packages"], "hold")


def test_a_version_is_named_at_the_first_installation_too() -> None:
    found = plan(BARE, {"source": "docker", "version": "5:29.0-1"})
    assert found.packages == ["docker-ce=5:29.0-1", "docker-ce-cli=5:29.0-1", "containerd.io"]


@pytest.mark.parametrize(("wanted", "packages", "selections"), [
    (True, without_hold(RUNNING, "docker.io"), {"docker.io": "hold"}),
    (False, RUNNING["packages"], {"docker.io": "install", "docker-cli": "install"}),
    (False, without_hold(RUNNING, "docker.io", "docker-cli"), {}),
])  # fmt: skip
def test_the_hold_is_set_and_released(
    wanted: bool, packages: dict[str, Any], selections: dict[str, str]
) -> None:
    found = plan(RUNNING, {"hold": wanted}, packages=packages)
    assert (found.packages, found.selections) == ([], selections)


@pytest.mark.parametrize(("docker", "source", "said"), [
    (RUNNING, "docker", "_source is docker, and the engine that is here is one of the distribution"),
    (DOCKERS, "distribution", "is distribution, and the engine that is here is one from Docker: it is kept"),
    ({**RUNNING, "source": "other", "packages": {}}, "docker", "one of no package"),
])  # fmt: skip
def test_an_engine_of_another_source_is_kept_and_said(docker: dict[str, Any], source: str, said: str) -> None:
    found = plan(docker, {"source": source})
    assert (found.packages, found.selections, found.repository) == ([], {}, False)
    assert said in found.notes[0]


def test_a_repository_of_dockers_that_apt_has_is_used_and_said() -> None:
    lists = [SOURCES_FILE, "/etc/apt/sources.list.d/docker.list"]
    found = plan(DOCKERS, {"source": "docker"}, repositories=lists)
    assert not found.repository
    assert "in /etc/apt/sources.list.d/docker.list already" in found.notes[0]


@pytest.mark.parametrize(("live_restore", "running", "reload"), [
    (False, True, True), (True, True, False), (None, False, False),
])  # fmt: skip
def test_an_engine_that_would_end_its_containers_is_reloaded(
    live_restore: bool | None, running: bool, reload: bool
) -> None:
    assert plan(RUNNING, live_restore=live_restore, running=running).reload is reload


def test_an_engine_that_an_upgrade_has_replaced_is_restarted() -> None:
    assert plan(RUNNING, outdated=True).restart


EMPTY = {"has_data": False}
ELSEWHERE = {"path": "/srv/docker", "file_system": "ext4", "free_bytes": 50 * GIB}


@pytest.mark.parametrize(("docker", "changes", "wanted", "said"), [
    (BARE, {"os": {"id": "fedora", "name": "Fedora 43"}}, {}, "no Docker Engine on Fedora 43, and this role"),
    (RUNNING, {"version": "19.03.15"}, {}, "Docker Engine 19.03.15 is older than 20.10, and ovms-node"),
    (RUNNING, {}, {"source": "docker", "version": "5:29.0-1"}, "the engine that is here is of another"),
    (RUNNING, {"swarm": True}, {}, "the engine is in a swarm"),
    (RUNNING, {"disk": ELSEWHERE}, {}, "docker_engine_data_root is /srv/docker, and the engine has images"),
    (RUNNING, {"driver": "vfs"}, {}, "is used by storage driver vfs, not overlay2; put it on ext4"),
    (RUNNING, {"d_type": False}, {}, "/var/lib/docker, on ext4, has no d_type"),
    (BARE, {"disk": {**ELSEWHERE, "file_system": "nfs4"}}, {}, "/srv/docker is on nfs4, which overlay2"),
    (BARE, {"disk": {**ELSEWHERE, "free_bytes": GIB}}, {}, "no space on /srv/docker: 8 GiB needed"),
])  # fmt: skip
def test_what_cannot_work_is_refused_with_what_to_do(
    docker: dict[str, Any], changes: dict[str, Any], wanted: dict[str, Any], said: str
) -> None:
    (found,) = obstacles(inputs(**wanted), facts(docker, **changes))
    assert said in found
    assert "; " in found


@pytest.mark.parametrize(("docker", "changes", "wanted"), [
    (RUNNING, {"disk": {**RUNNING["disk"], "free_bytes": 0}}, {}),  # images have taken it
    (RUNNING, {**EMPTY, "disk": ELSEWHERE}, {}),  # nothing to move
    (RUNNING, {"version": "20.10.24+dfsg1"}, {}),
    (RUNNING, {"version": "19.03.15"}, {"version": "26.1.5-9"}),  # an upgrade mends it
    (RUNNING, {"driver": "overlayfs", "d_type": None}, {}),  # engine 29
    (RUNNING, {"os": {"id": "fedora", "version_id": "43"}}, {}),
    (RUNNING, {"disk": {**RUNNING["disk"], "file_system": "fuseblk"}}, {}),  # it runs there
])  # fmt: skip
def test_what_works_is_not_refused(
    docker: dict[str, Any], changes: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert obstacles(inputs(**wanted), facts(docker, **changes)) == []
