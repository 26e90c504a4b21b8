"""Two good releases that say different things, on one store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovms_edge.manifest import ReleaseRef
from tests.e2e import bad_models as models
from tests.e2e import switch_store
from tests.e2e.switch_store import SwitchStore

_WORDS_OF_THE_OTHER = 200
# What tests change, as it is by itself.
PLAIN: dict[str, Any] = {
    "graph": {},
    "cache_size": None,
    "log_level": "INFO",
    "tier": None,
    "start_timeout_seconds": 600,
    "answer_timeout_seconds": 360,
}


@dataclass(frozen=True)
class Two:
    """``signatures``: how what each of ``refs`` says begins."""

    store: SwitchStore
    refs: tuple[ReleaseRef, ReleaseRef]
    signatures: tuple[str, str]

    def settings(self, **changes: Any) -> dict[str, Any]:
        return self.store.settings(**{**PLAIN, **changes})

    def activate(self, number: int, *options: str, **changes: Any) -> dict[str, Any]:
        """Activate one of the two, with plain settings but for ``changes``; it must succeed."""
        document = self.store.activate(self.refs[number % 2], *options, **{**PLAIN, **changes})
        assert document["ok"], document
        return document

    def assert_serves(self, number: int) -> None:
        """The one of the two serves, alone, and the gateway sends requests there."""
        assert self.serving() == number % 2

    def serving(self) -> int:
        """Return which of the two serves, after proof that it does, alone, and that it is routed."""
        active = self.store.active()
        number = [str(ref) for ref in self.refs].index(active.release)
        assert self.store.containers() == {f"ovms-vlm-{active.slot}": True}
        assert self.store.route() == active.slot
        assert self.store.state()["pending"] is None
        assert self.store.signature() == self.signatures[number]
        document = self.store.node("verify")
        assert document["ok"], document
        return number


def expectation(signature: str) -> dict[str, Any]:
    """Return what a golden set expects of an answer that begins so."""
    return {"matches": f"^{re.escape(signature)}"}


@contextmanager
def two_releases(name: str, directory: Path) -> Iterator[Two]:
    """Yield a store of the lab on which the first of the two serves; the first one's golden set says so."""
    with switch_store.lab_store(name, directory / "inventory") as store:
        said = store.signature()
        first = models.publish(directory / "first", **expectation(said))
        other = models.publish(directory / "other", before=models.other_words(_WORDS_OF_THE_OTHER))
        signatures = []
        for ref in (other, first):
            store.stage(ref)
            document = store.activate(ref, **PLAIN)
            assert document["ok"], document
            store.run("/usr/local/bin/ovms-node", "pin", str(ref))
            signatures.append(store.signature())
        assert signatures[1] == said != signatures[0]
        yield Two(store, (first, other), (signatures[1], signatures[0]))
