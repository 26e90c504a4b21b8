# SPDX-License-Identifier: Apache-2.0
"""Programs of this collection that run on a host by ``python3 -``. Private to this collection.

Program and request travel on standard input: no module bootstrap, and nothing secret is in a process list.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible.plugins.action import ActionBase

# Each program is a module of its own there. What it prints is one document: an answer for each call.
_RUN = """\
import json
def call(text, name, function, request):
    program = {"__name__": name}
    exec(compile(text, name, "exec"), program)
    return program[function](**request)
print(json.dumps({"answers": [call(*words) for words in json.loads(CALLS)]}))
"""


class NoAnswerError(Exception):
    """The program printed no document; the text is what came instead."""


@dataclass(frozen=True)
class Call:
    """A function of a program, to be called with the arguments in ``request``; it returns a document."""

    program: ModuleType
    function: str
    request: dict[str, Any]


def parse_answer(stdout: str, stderr: str) -> dict[str, Any]:
    """Return the one JSON object that a program printed; raises NoAnswerError if it printed none."""
    try:
        document = json.loads(stdout)
        if not isinstance(document, dict):
            raise ValueError("not a document")
    except ValueError as error:
        said = (stderr or stdout).strip() or "nothing"
        raise NoAnswerError(f"python3 on the host failed: {said}") from error
    return document


def ask_host(action: ActionBase, *calls: Call) -> list[dict[str, Any]]:
    """Return what each call returns on the host, all of them asked in one go; raises NoAnswerError."""
    words = [
        (Path(str(call.program.__file__)).read_text(), call.program.__name__, call.function, call.request)
        for call in calls
    ]
    program = _RUN.replace("CALLS", json.dumps(json.dumps(words)))
    done = action._low_level_execute_command("python3 -", in_data=program)
    answers: list[dict[str, Any]] = parse_answer(done["stdout"], done["stderr"])["answers"]
    return answers
