# SPDX-License-Identifier: Apache-2.0
"""Programs of this collection that run on a host by ``python3 -``. Private to this collection.

Program and request travel on standard input: no module bootstrap, and nothing secret is in a process list.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible.plugins.action import ActionBase

# Each program is a module of its own there, which those after it can import by the name that it has here.
# What it prints is one document: an answer for each call.
_RUN = """\
import json, sys, types
def load(name, text):
    for at in range(name.count(".") + 1):
        part = name.rsplit(".", at)[0]
        sys.modules.setdefault(part, types.ModuleType(part))
    exec(compile(text, name, "exec"), sys.modules[name].__dict__)
asked = json.loads(ASKED)
for name, text in asked["programs"].items():
    load(name, text)
call = lambda name, function, request: getattr(sys.modules[name], function)(**request)
print(json.dumps({"answers": [call(*words) for words in asked["calls"]]}))
"""


class NoAnswerError(Exception):
    """The program printed no document; the text is what came instead."""


@dataclass(frozen=True)
class Call:
    """A function of a program, to be called with the arguments in ``request``; it returns a document.

    ``needs``: other programs that it imports.
    """

    program: ModuleType
    function: str
    request: dict[str, Any]
    needs: tuple[ModuleType, ...] = ()


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


def program_of(calls: Sequence[Call]) -> str:
    """Return the text of the program that makes ``calls`` on a host."""
    programs = [program for call in calls for program in (*call.needs, call.program)]
    asked = {
        "programs": {program.__name__: Path(str(program.__file__)).read_text() for program in programs},
        "calls": [(call.program.__name__, call.function, call.request) for call in calls],
    }
    return _RUN.replace("ASKED", json.dumps(json.dumps(asked)))


def ask_host(action: ActionBase, *calls: Call) -> list[dict[str, Any]]:
    """Return what each call returns on the host, all of them asked in one go; raises NoAnswerError."""
    program = program_of(calls)
    done = action._low_level_execute_command("python3 -", in_data=program.encode())
    answers: list[dict[str, Any]] = parse_answer(done["stdout"], done["stderr"])["answers"]
    return answers
