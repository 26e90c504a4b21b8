# SPDX-License-Identifier: Apache-2.0
"""Calls of the program of ``host_files``, and what it changed as a result of Ansible.

Private to this collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.ovms.edge.plugins.plugin_utils import _host_files_program, _record_program
from ansible_collections.ovms.edge.plugins.plugin_utils._host_program import Call


def files_call(entries: list[dict[str, Any]], check: bool, **more: Any) -> Call:
    """Return the call that brings ``entries`` to their state, with what was before on record."""
    request = {"entries": entries, "check": check, "record": _record_program.RECORD, **more}
    return Call(_host_files_program, "apply", request, needs=(_record_program,))


def packages_call(names: list[str], check: bool) -> Call:
    """Return the call that puts packages on record which are about to be installed."""
    return Call(_record_program, "note_packages", {"names": names, "check": check})


def as_result(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the result for the changes that the program made, and why it made no more."""
    changes = answer["changes"]
    diff = [
        {
            "before_header": change["path"],
            "after_header": change["path"],
            "before": change.get("before", ""),
            "after": change.get("after", f"({change['what']}, not shown)\n"),
        }
        for change in changes
    ]
    result = {"changed": bool(changes), "paths": [change["path"] for change in changes], "diff": diff}
    return result if answer["ok"] else {**result, "failed": True, "msg": answer["msg"]}
