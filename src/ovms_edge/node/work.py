"""What a fetch still has to bring, handed out to the threads that bring it. No I/O."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from ovms_edge.node.source import Wanted

# One request's worth: large enough that its headers and its round trip do not count.
LARGEST_REQUEST_BYTES = 16 << 20


@dataclass(eq=False)
class Batch:
    """Runs of one blob by their offsets; those that were accepted leave ``left``."""

    sha256: str
    left: deque[Wanted]

    @property
    def start(self) -> int:
        """Offset of the first run."""
        return self.left[0].offset

    @property
    def end(self) -> int:
        """Where the first runs that follow one another without a gap end: what one Range request asks for."""
        end = self.start
        for wanted in self.left:
            if wanted.offset != end or (end - self.start) + wanted.size > LARGEST_REQUEST_BYTES:
                break
            end += wanted.size
        return end


@dataclass(eq=False)
class _Blob:
    left: deque[Wanted]
    # Until a server has shown whether it honours Range for this blob, one thread alone asks for it.
    ranged: bool = False
    busy: set[int] = field(default_factory=set)


class Work:
    """``take`` from several threads until it returns None."""

    def __init__(self, wanted: Iterable[Wanted]) -> None:
        by_blob: dict[str, list[Wanted]] = {}
        for run in wanted:
            by_blob.setdefault(run.sha256, []).append(run)
        self._blobs = {
            sha256: _Blob(deque(sorted(runs, key=lambda run: run.offset))) for sha256, runs in by_blob.items()
        }
        self._changed = threading.Condition()
        self._error: BaseException | None = None

    @property
    def error(self) -> BaseException | None:
        """What ended the work before its end."""
        return self._error

    def take(self) -> Batch | None:
        """Return the next batch, waiting while others may give some back; None when all is done or failed."""
        with self._changed:
            while self._blobs and self._error is None:
                for sha256, blob in self._blobs.items():
                    if blob.left and (blob.ranged or not blob.busy):
                        batch = Batch(sha256, _first_request(blob.left))
                        blob.busy.add(id(batch))
                        return batch
                self._changed.wait()
            return None

    def is_ranged(self, batch: Batch) -> None:
        """Let others ask for the rest of the blob: the server honours Range for it."""
        with self._changed:
            self._blobs[batch.sha256].ranged = True
            self._changed.notify_all()

    def take_all(self, batch: Batch) -> None:
        """Put the rest of the blob into ``batch``: the server sends all of it anyway."""
        with self._changed:
            blob = self._blobs[batch.sha256]
            batch.left = deque(sorted([*batch.left, *blob.left], key=lambda run: run.offset))
            blob.left = deque()
            blob.ranged = False

    def give_back(self, batch: Batch) -> None:
        """End ``batch``; what is left of it has to be brought by another."""
        with self._changed:
            blob = self._blobs[batch.sha256]
            blob.busy.discard(id(batch))
            blob.left = deque(sorted([*batch.left, *blob.left], key=lambda run: run.offset))
            if not blob.left and not blob.busy:
                del self._blobs[batch.sha256]
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """End the work for all."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()


def _first_request(left: deque[Wanted]) -> deque[Wanted]:
    end = Batch("", left).end
    taken: deque[Wanted] = deque()
    while left and left[0].offset < end:
        taken.append(left.popleft())
    return taken
