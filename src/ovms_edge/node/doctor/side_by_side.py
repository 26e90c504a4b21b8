"""Questions that wait for others, asked at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping


def ask_all(questions: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, object]:
    """Return the answers that came within ``seconds``, by name.

    What hangs goes on in a thread that does not keep the process alive. What a question raises is raised.
    """
    answers: dict[str, object] = {}
    errors: list[BaseException] = []

    def ask(name: str, question: Callable[[], object]) -> None:
        try:
            answers[name] = question()
        except BaseException as error:  # noqa: BLE001 - it is raised by who asked
            errors.append(error)

    threads = [
        threading.Thread(target=ask, args=entry, name=f"doctor-{entry[0]}", daemon=True)
        for entry in questions.items()
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if errors:
        raise errors[0]
    return dict(answers)
