"""A bad model ends with the old one serving: no request fails, the reason is told, and it is not tried again.

Each is bad in its own real way. Every second one is switched to in tier B; all in both tiers with
OVMS_EDGE_ALL_FAULTS=1.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ovms_edge.manifest import ReleaseRef
from tests.e2e import bad_models as models
from tests.e2e import sabotage
from tests.e2e.load import Load
from tests.e2e.sabotage import sabotaged
from tests.e2e.switch_store import SwitchStore
from tests.e2e.two_releases import Two, expectation

pytestmark = pytest.mark.lab

WORDS_OF_ANOTHER = 37


@dataclass(frozen=True)
class Bad:
    """How a release is made bad (``models.publish``), and what then is said.

    ``settings`` are its own, ``strike`` is done to its container from outside (``sabotage``). ``gated``: it
    is found out by trying, so it is remembered.
    """

    said: str
    release: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    strike: str | None = None
    gated: bool = True


def damaged(how: models.Change, said: str) -> Bad:
    return Bad(said, {"after": how})


NOT_LOADED = r"could not load .*FAILED_PRECONDITION: .*"
ENDED = "OVMS ended|is exited|is restarting|exit code"
LOGGED = {"log_level": "DEBUG"}  # so that the log tells the requests
BAD = {
    "truncated .bin": damaged(models.truncated_bin, NOT_LOADED + "Incorrect weights in bin file"),
    "corrupt .xml": damaged(models.corrupt_xml, NOT_LOADED + "Error parsing element"),
    "missing tokenizer": damaged(models.without_tokenizer, NOT_LOADED + "tokenizer"),
    "unknown opset": damaged(models.unknown_opset, NOT_LOADED + "unsupported opset: opset99"),
    "unreadable IR": damaged(models.unknown_ir_version, NOT_LOADED + "Unable to read the model"),
    "graph option of another version": Bad(
        "is meant for OVMS 2026.0.0",
        {"manifest": {"ovms_versions": ("2026.0.0",), "graph": {"draft_eagle3_mode": True}}},
        gated=False,
    ),
    "plugin option of another version": Bad(
        NOT_LOADED + "KV_CACHE_OF_TOMORROW",
        {"manifest": {"graph": {"plugin_config": '{"KV_CACHE_OF_TOMORROW": "1"}'}}},
    ),
    "cache that no host of this size holds": Bad("KV cache 64.0", settings={"cache_size": 64}, gated=False),
    "cache too large for the memory left": Bad(
        f"({ENDED}).*: .*out of resources: 4 GiB KV cache", strike=sabotage.LITTLE_MEMORY
    ),
    "answers wrongly": Bad(
        "the answer to 'square'.* does not match", {"after": models.other_words(WORDS_OF_ANOTHER)}
    ),
    "answers empty": Bad("the answer to 'square'.* is blank", {"after": models.speechless}),
    "answers later than allowed": Bad("allowed are 0.001 s", {"total_seconds": 0.001}),
    "answers later than the last good one": Bad(
        "more than 1.5 times",
        {"total_ratio": 1.5, "repeat": 10},
        strike=sabotage.when_available(sabotage.SLOW),
    ),
    "crashes at load": Bad(ENDED, strike=sabotage.at_load(sabotage.KILL)),
    "crashes at the first request": Bad(
        f"({ENDED}).*warm-up|({ENDED}).* [1-3] of 20",
        {"repeat": 20},
        LOGGED,
        sabotage.at_request(1, sabotage.KILL),
    ),
    "crashes at the 20th request": Bad(
        f"({ENDED}).* (19|2[0-3]) of 40", {"repeat": 40}, LOGGED, sabotage.at_request(20, sabotage.KILL)
    ),
    "hangs while it loads": Bad(
        "is not AVAILABLE after 6 s",
        settings={"start_timeout_seconds": 6},
        strike=sabotage.at_load(sabotage.HANG),
    ),
    "hangs in an answer": Bad(
        "did not answer .* within 4 s",
        {"repeat": 20},
        {"answer_timeout_seconds": 4, **LOGGED},
        sabotage.at_request(3, sabotage.HANG),
    ),
}


def both_tiers() -> bool:
    return os.environ.get("OVMS_EDGE_ALL_FAULTS") == "1"


def cases() -> list[tuple[str, str]]:
    return [
        (name, tier)
        for index, name in enumerate(BAD)
        for tier in ("A", "B")
        if both_tiers() or tier == "AB"[index % 2]
    ]


def staged(two: Two, directory: Path, bad: Bad) -> ReleaseRef:
    """Publish and stage a bad release; unless it says otherwise, what the good one says is expected."""
    ref = models.publish(directory, **{**expectation(two.signatures[0]), **bad.release})
    two.store.stage(ref)
    return ref


@pytest.fixture
def good(two: Two) -> str:
    """The release that serves before, and after."""
    two.activate(0)
    return str(two.refs[0])


@pytest.mark.parametrize(("name", "tier"), cases())
def test_old_model_serves_on(two: Two, good: str, tmp_path: Path, name: str, tier: str) -> None:
    store, bad = two.store, BAD[name]
    ref = staged(two, tmp_path / "release", bad)
    before = store.active()
    settings = two.settings(tier=tier, **bad.settings)
    with Load(store.endpoint()) as load:
        with sabotaged(store, ref, bad.strike):
            document = store.activate(ref, **settings)
        load.wait_for(2)
    assert load.report().faults == []
    assert load.report().signatures == {two.signatures[0]}
    assert document["ok"] is False
    assert re.search(bad.said, document["reason"]), document["reason"]
    assert document["remedy"]
    assert store.active() == before
    two.assert_serves(0)
    if bad.gated:
        assert document["serving"] == good
        assert document["log_tail"]
        assert document["memory"]["host_available_bytes"] > 0
        assert_recorded(store, ref, bad)
        assert_not_tried_again(store, ref, settings)


def assert_recorded(store: SwitchStore, ref: ReleaseRef, bad: Bad) -> None:
    last = [entry for entry in store.journal() if entry["event"] == "failed"][-1]
    assert last["release"] == str(ref)
    assert re.search(bad.said, last["reason"])


def assert_not_tried_again(store: SwitchStore, ref: ReleaseRef, settings: dict[str, Any]) -> None:
    containers = store.run("docker", "ps", "-aq", "--no-trunc")
    again = store.activate(ref, **settings)
    assert not again["ok"]
    assert "failed here before" in again["reason"]
    assert "--retry" in again["remedy"]
    assert store.run("docker", "ps", "-aq", "--no-trunc") == containers


def test_retry_fails_again_while_the_release_is_bad(two: Two, good: str, tmp_path: Path) -> None:
    bad = BAD["truncated .bin"]
    ref = staged(two, tmp_path / "release", bad)
    assert not two.store.activate(ref)["ok"]
    again = two.store.activate(ref, "--retry")
    assert re.search(bad.said, again["reason"])
    assert again["serving"] == good


def test_retry_serves_what_was_not_the_release_s_fault(two: Two, good: str, tmp_path: Path) -> None:
    store, bad = two.store, BAD["crashes at load"]
    ref = staged(two, tmp_path / "release", bad)
    with Load(store.endpoint()) as load:
        with sabotaged(store, ref, bad.strike):
            assert not store.activate(ref)["ok"]
        assert store.activate(ref, "--retry")["ok"]
        assert store.active().release == str(ref)
        assert store.node("rollback")["ok"]
    assert load.report().faults == []
    assert store.active().release == good
