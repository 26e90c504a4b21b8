from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from ovms_edge.errors import EdgeError
from ovms_edge.export.place import Place
from ovms_edge.release.durable import sync, sync_tree

P = ParamSpec("P")
R = TypeVar("R")


class PowerLossError(BaseException):
    """Nothing in the code under test may catch it."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "Qwen" / "model")
    place.staging.mkdir(parents=True)
    (place.staging / "weights.bin").write_text("new")
    return place


def content(place: Place) -> str | None:
    weights = place.target / "weights.bin"
    return weights.read_text() if weights.exists() else None


def install_old(place: Place) -> None:
    place.target.mkdir()
    (place.target / "weights.bin").write_text("old")


@pytest.mark.parametrize("with_old", [False, True])
def test_publish_leaves_the_new_model_and_nothing_else(place: Place, with_old: bool) -> None:
    if with_old:
        install_old(place)
    place.publish()
    assert content(place) == "new"
    assert [path.name for path in place.target.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("with_old", [False, True])
@pytest.mark.parametrize("survived_steps", range(8))
def test_power_loss_at_any_step_ends_in_old_or_new(
    place: Place, monkeypatch: pytest.MonkeyPatch, survived_steps: int, with_old: bool
) -> None:
    if with_old:
        install_old(place)
    steps = 0

    def counted(step: Callable[P, R]) -> Callable[P, R]:
        def run(*arguments: P.args, **named: P.kwargs) -> R:
            nonlocal steps
            if steps == survived_steps:
                raise PowerLossError
            steps += 1
            return step(*arguments, **named)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted(Path.rename))
        patch.setattr("ovms_edge.export.place.sync", counted(sync))
        patch.setattr("ovms_edge.export.place.sync_tree", counted(sync_tree))
        patch.setattr(shutil, "rmtree", counted(shutil.rmtree))
        try:
            place.publish()
            completed = True
        except PowerLossError:
            completed = False
    assert completed or steps == survived_steps
    place.recover()
    assert content(place) in (("old", "new") if with_old else (None, "new"))
    assert not completed or content(place) == "new"
    assert [path.name for path in place.target.parent.iterdir()] in (["model"], [])


@pytest.mark.parametrize("dangling", [False, True])
def test_link_that_was_replaced_is_removed_and_not_what_it_points_to(
    place: Place, tmp_path: Path, dangling: bool
) -> None:
    elsewhere = tmp_path / "big-disk"
    if not dangling:
        elsewhere.mkdir()
        (elsewhere / "weights.bin").write_text("old")
    place.target.symlink_to(elsewhere)
    place.publish()
    assert content(place) == "new"
    place.replaced.symlink_to(elsewhere)
    place.workspace.symlink_to(elsewhere)
    place.recover()
    assert [path.name for path in place.target.parent.iterdir()] == ["model"]
    assert dangling or (elsewhere / "weights.bin").read_text() == "old"


def test_published_files_are_readable_by_the_servers_user(place: Place) -> None:
    (place.staging / "weights.bin").chmod(0o600)
    place.staging.chmod(0o700)
    place.publish()
    assert (place.target / "weights.bin").stat().st_mode & 0o777 == 0o644
    assert place.target.stat().st_mode & 0o777 == 0o755


def test_second_export_of_the_same_model_is_refused(place: Place) -> None:
    same = Place(place.target)
    with place.locked(), pytest.raises(EdgeError, match="another export"), same.locked():
        pytest.fail("both hold the place")
    with Place(place.target).locked():
        pass
