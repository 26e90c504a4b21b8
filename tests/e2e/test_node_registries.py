"""``ovms-node`` and the registries that fleets have: token logins, proxies, authorities of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.cli import main as controller
from tests.e2e import registry as depot
from tests.e2e.fault_proxy import run_fault_proxy
from tests.e2e.node_process import Node, Published, publish
from tests.e2e.registry import Registry, Tls
from tests.e2e.web_proxy import run_web_proxy

pytestmark = pytest.mark.lab

EXTRA_BYTES = 2_000_000
LOGIN = "clerk:proxy-secret"
# in lower case, as curl wants them and as Python prefers them
NO_PROXIES = {"http_proxy": "", "https_proxy": "", "no_proxy": ""}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return depot.make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, tls: Tls) -> Iterator[Published]:
    directory = tmp_path_factory.mktemp("release")
    (directory / "registry").mkdir()
    with depot.run_registry(directory / "registry", tls) as registry:
        yield publish(directory, registry, EXTRA_BYTES)


def server(registry: Registry, **more: Any) -> dict[str, Any]:
    return {
        "url": registry.url,
        "ca_file": str(registry.ca),
        "credentials_file": str(registry.credentials),
        **more,
    }


@pytest.fixture
def token_registry(tmp_path: Path, tls: Tls) -> Iterator[Registry]:
    (tmp_path / "registry").mkdir()
    with (
        depot.run_token_server(tls) as realm,
        depot.run_registry(tmp_path / "registry", tls, token_realm=realm) as registry,
    ):
        yield registry


def test_bearer_tokens_are_fetched_and_used(token_registry: Registry, tmp_path: Path) -> None:
    node = Node(tmp_path, publish(tmp_path, token_registry, EXTRA_BYTES), server(token_registry))
    assert node.stage()["changed"]
    node.assert_exact()


def test_a_token_server_that_refuses_is_named_and_the_password_is_not(
    token_registry: Registry, tmp_path: Path
) -> None:
    node = Node(tmp_path, publish(tmp_path, token_registry, EXTRA_BYTES), server(token_registry))
    depot.write_credentials(token_registry.credentials, token_registry.host, password="another-secret")
    refusal = node.stage()
    assert f"refuses user {depot.USER} (401)" in refusal["reason"]
    assert "another-secret" not in json.dumps(refusal)


def test_https_goes_through_a_proxy_with_a_login(release: Published, tmp_path: Path) -> None:
    node = Node(tmp_path, release, server(release.registry))
    with run_web_proxy(LOGIN) as proxy:
        assert node.stage(**{**NO_PROXIES, "https_proxy": proxy.url})["changed"]
        assert set(proxy.asked) == {release.registry.host}
        assert len(proxy.asked) <= 1 + 4  # connections are kept
    node.assert_exact()


def test_plain_http_goes_through_a_proxy(release: Published, tmp_path: Path) -> None:
    with run_fault_proxy(release.registry) as plain, run_web_proxy(LOGIN) as proxy:
        host = plain.url.removeprefix("http://")
        credentials = depot.write_credentials(tmp_path / "credentials.json", host)
        node = Node(tmp_path, release, {"url": plain.url, "credentials_file": str(credentials)})
        assert node.stage(**{**NO_PROXIES, "http_proxy": proxy.url})["changed"]
        assert set(proxy.asked) == {host}
    node.assert_exact()


def test_a_proxy_that_wants_another_login_is_named_and_the_password_is_not(
    release: Published, tmp_path: Path
) -> None:
    node = Node(tmp_path, release, server(release.registry), give_up_seconds=1)
    with run_web_proxy(LOGIN) as proxy:
        refusal = node.stage(**{**NO_PROXIES, "https_proxy": f"http://clerk:wrong-secret@{proxy.host}"})
    assert "407" in refusal["reason"]
    assert "wrong-secret" not in json.dumps(refusal)
    assert not node.staged.exists()


def test_no_proxy_goes_past_it(release: Published, tmp_path: Path) -> None:
    node = Node(tmp_path, release, server(release.registry))
    dead = {"https_proxy": "http://127.0.0.1:9", "no_proxy": "localhost,127.0.0.1"}
    assert node.stage(**{**NO_PROXIES, **dead})["changed"]


@pytest.fixture
def mirror(release: Published, tmp_path: Path) -> Iterator[Registry]:
    """A second registry with the same release, and a certificate of another authority."""
    (tmp_path / "tls").mkdir()
    (tmp_path / "mirror").mkdir()
    with depot.run_registry(tmp_path / "mirror", depot.make_tls(tmp_path / "tls")) as running:
        at = ["--depot", running.url, "--ca", running.ca, "--credentials", running.credentials]
        assert controller(["release", "publish", *map(str, [release.built, *at])]) == 0
        yield running


def dead_depot(directory: Path, mirror: Registry, **settings: Any) -> dict[str, Any]:
    """Return a depot that is away, with a mirror; the password is for both."""
    gone = f"127.0.0.1:{depot.free_port()}"
    auth = next(iter(json.loads(mirror.credentials.read_text())["auths"].values()))
    credentials = directory / "credentials.json"
    credentials.write_text(json.dumps({"auths": {gone: auth, mirror.host: auth}}))
    return {
        "url": f"https://{gone}",
        "credentials_file": str(credentials),
        "mirrors": [{"url": mirror.url, **settings}],
    }


def test_a_mirror_has_an_authority_of_its_own(release: Published, mirror: Registry, tmp_path: Path) -> None:
    node = Node(tmp_path, release, dead_depot(tmp_path, mirror, ca_file=str(mirror.ca)))
    assert node.stage()["changed"]
    node.assert_exact()


def test_a_mirror_that_cannot_be_trusted_is_not_believed(
    release: Published, mirror: Registry, tmp_path: Path
) -> None:
    other = dead_depot(tmp_path, mirror, ca_file=str(release.registry.ca))
    refusal = Node(tmp_path, release, other, give_up_seconds=1).stage()
    assert not refusal["ok"]
    assert not (tmp_path / "state/releases").exists()
