"""``ovms-node decommission`` cut off: run again it removes the rest, and leaves what was there before."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovms_edge.node.decommission import decommission
from ovms_edge.node.options import Document
from tests.unit.node_engine import PowerCutError
from tests.unit.node_host import Host, guard, pretend
from tests.unit.node_host_set_up import bare, set_up

KINDS = (
    "systemctl disable", "docker rm ", "docker network rm", "docker rmi", "unlink srv/ovms-edge/state.json",
    "rename etc/docker/.daemon.json.new", "unlink etc/ssh/", "systemctl daemon-reload",
    "dpkg --purge haproxy", "userdel", "groupmod", "unlink etc/ovms-edge/record/installed.json",
    "rmdir etc/ovms-edge",
)  # fmt: skip


def decommissioned(host: Host) -> Document:
    return decommission(
        host.path("/etc/ovms-edge/node.json"), check=False, keep_releases=False, wait_seconds=0
    )


def cut_off(host: Host, place: int) -> bool:
    host.effects.clear()
    host.cut_at = place
    try:
        decommissioned(host)
    except PowerCutError:
        return True
    finally:
        host.cut_at = None
    return False


@pytest.mark.parametrize("engine", [False, True], ids=["engine ours", "engine theirs"])
def test_wherever_it_is_cut_off_the_next_run_removes_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: bool
) -> None:
    """Every change of a file, and every command that changes something, is a place to be cut off at."""
    place, wrong = 0, []
    while True:
        with monkeypatch.context() as patch:
            host = bare(tmp_path / str(place), engine=engine)
            pretend(host, patch)
            before = host.picture()
            set_up(host, engine=engine)
            guard(host, patch)
            if not cut_off(host, place):
                break
            done = list(host.effects)
            where = f"{place}: after {done[-1] if done else 'nothing'}"
            again = decommissioned(host)
            wrong += [f"{where}: {found}" for found in differences(before, host.picture())]
            wrong += [f"{where}: left {again['left']}" for _ in again["left"][:1]]
            wrong += [f"{where}: not ended" for _ in decommissioned(host)["removed"][:1]]
        place += 1
    assert not wrong, "\n".join(wrong)
    assert differences(before, host.picture()) == []
    assert [kind for kind in KINDS if not any(effect.startswith(kind) for effect in host.effects)] == []


def differences(before: dict[str, object], after: dict[str, object]) -> list[str]:
    found = []
    for what, old in before.items():
        new = after[what]
        if isinstance(old, dict) and isinstance(new, dict):
            names = sorted(name for name in old | new if old.get(name) != new.get(name))
            found += [f"{what} {name}: {old.get(name)}, now {new.get(name)}" for name in names]
        elif old != new:
            found.append(f"{what}: {old}, now {new}")
    return found
