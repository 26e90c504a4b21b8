# SPDX-License-Identifier: Apache-2.0
"""What the program of ``host_files`` changed, as a result of Ansible. Private to this collection."""

from __future__ import annotations

from typing import Any


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
