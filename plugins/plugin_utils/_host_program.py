# SPDX-License-Identifier: Apache-2.0
"""Programs of this collection that run on a host by ``python3 -``. Private to this collection.

Program and request travel on standard input: no module bootstrap, and nothing secret is in a process list.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible.plugins.action import ActionBase


class NoAnswerError(Exception):
    """The program printed no document; the text is what came instead."""


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


def ask_host(
    action: ActionBase, program: ModuleType, function: str, request: dict[str, Any]
) -> dict[str, Any]:
    """Return what ``function`` of ``program`` returns on the host for the arguments in ``request``."""
    arguments = json.dumps(json.dumps(request))
    call = f"print(json.dumps({function}(**json.loads({arguments}))))"
    text = Path(str(program.__file__)).read_text()
    done = action._low_level_execute_command("python3 -", in_data=f"{text}\n{call}\n")
    return parse_answer(done["stdout"], done["stderr"])
