"""Which store is in which wave. Pure: the order in which stores or tags are given changes nothing."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from ovms_edge.errors import EdgeError
from ovms_edge.rollout.spec import WaveSpec
from ovms_edge.rollout.stores import Store

_SHOWN = 5
_Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assigned:
    """``stores`` in the order in which they were chosen. ``wanted``: how many were asked for, None: all."""

    name: str
    stores: tuple[str, ...]
    spec: WaveSpec
    wanted: int | None


def assign(
    waves: Sequence[WaveSpec],
    stores: Sequence[Store],
    release: str,
    matching: Mapping[str, Collection[str]],
    last: Collection[str] = (),
) -> list[Assigned]:
    """Return the waves with their stores, each store in one; ``matching``: names by pattern.

    A wave for which no store at all is left is left out. Within a wave stores are chosen by a digest of
    release and name, so that canaries differ from release to release, and those in ``last`` after all others.
    Raises EdgeError for a wave that fits none, for stores that no wave takes, for a name that two waves have.
    """
    left = sorted(stores, key=lambda store: (store.name in last, _rank(release, store.name)))
    assigned: list[Assigned] = []
    for wave in waves:
        among = None if wave.stores is None else frozenset(matching[wave.stores])
        candidates = [store for store in left if _matches(wave, store, among)]
        wanted = None if wave.size is None else wave.size.up(len(stores))
        taken = list(_take(wave, candidates, wanted))
        if left and not taken:
            raise EdgeError(
                f"{wave.place}: wave {wave.name} takes no store: none that is left has its stores and tags",
                "correct them, or take the wave out; unsuitable stores are in no wave",
            )
        assigned += taken
        gone = {name for one in taken for name in one.stores}
        left = [store for store in left if store.name not in gone]
    _refuse_left([store.name for store in left])
    _refuse_double(assigned)
    return assigned


def _rank(release: str, store: str) -> bytes:
    return hashlib.sha256(f"{release}\0{store}".encode()).digest()


def _matches(wave: WaveSpec, store: Store, among: Collection[str] | None) -> bool:
    return (among is None or store.name in among) and wave.tags.issubset(store.tags)


def _take(wave: WaveSpec, candidates: Sequence[Store], wanted: int | None) -> Iterator[Assigned]:
    """Yield the wave, or as many of its kind as it takes."""
    queue = _Queue(wave.at_most, candidates)
    for number in count(1):
        taken = tuple(queue.take(wanted))
        if not taken:
            return
        yield Assigned(f"{wave.name}-{number}" if wave.repeat else wave.name, taken, wave, wanted)
        if not wave.repeat:
            return


class _Queue:
    """Candidates in their order, in groups of those that ``at_most`` counts alike."""

    def __init__(self, at_most: Mapping[str, int], candidates: Sequence[Store]) -> None:
        self._limits = tuple(at_most.values())
        self._groups: dict[_Group, deque[tuple[int, str]]] = defaultdict(deque)
        for rank, store in enumerate(candidates):
            self._groups[tuple(getattr(store, key) for key in at_most)].append((rank, store.name))
        # the groups by the rank of their first store
        self._heads = [(members[0][0], group) for group, members in self._groups.items()]
        heapq.heapify(self._heads)

    def take(self, wanted: int | None) -> Iterator[str]:
        """Yield the first names that the limits allow of one wave, at most ``wanted``."""
        used = [Counter[str]() for _ in self._limits]
        full = []
        while self._heads and wanted != 0:
            head = heapq.heappop(self._heads)
            group = head[1]
            if any(uses[key] >= limit for uses, key, limit in zip(used, group, self._limits, strict=True)):
                full.append(head)
                continue
            members = self._groups[group]
            yield members.popleft()[1]
            for uses, key in zip(used, group, strict=True):
                uses[key] += 1
            if members:
                heapq.heappush(self._heads, (members[0][0], group))
            wanted = None if wanted is None else wanted - 1
        for head in full:
            heapq.heappush(self._heads, head)


def _refuse_left(left: Sequence[str]) -> None:
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        raise EdgeError(
            f"{len(left)} stores are in no wave: {', '.join(sorted(left)[:_SHOWN])}{more}",
            "add a last wave with neither count nor percent: it takes all that are left; or narrow `stores`",
        )


def _refuse_double(assigned: Sequence[Assigned]) -> None:
    names: set[str] = set()
    for wave in assigned:
        if wave.name in names:
            raise EdgeError(
                f"{wave.spec.place}: two waves are named {wave.name}, which waves with repeat are, too",
                "give one of them another name",
            )
        names.add(wave.name)
