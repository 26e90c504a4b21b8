"""A cache as role ``site_cache`` leaves it."""

from __future__ import annotations

import pytest
from testinfra.host import Host

DIRECTORY = "/etc/ovms-edge/site-cache"


def test_it_starts_with_the_host_and_runs(host: Host) -> None:
    service = host.service("ovms-site-cache.service")
    assert service.is_enabled
    assert service.is_running


def test_default_site_of_nginx_is_off(host: Host) -> None:
    service = host.service("nginx.service")
    assert not service.is_enabled
    assert not service.is_running


@pytest.mark.parametrize(("path", "user", "mode"), [
    (DIRECTORY, "root", 0o755),
    (f"{DIRECTORY}/nginx.conf", "root", 0o644),
    (f"{DIRECTORY}/origin-login.conf", "root", 0o600),
    ("/var/cache/ovms-edge", "www-data", 0o700),
])  # fmt: skip
def test_file_has_its_owner_and_mode(host: Host, path: str, user: str, mode: int) -> None:
    found = host.file(path)
    assert (found.user, found.mode) == (user, mode)


def test_depot_answers_through_it_and_asks_for_no_login(host: Host) -> None:
    program = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:5080/v2/').status)"
    assert host.check_output("python3 -c %s", program) == "200"
