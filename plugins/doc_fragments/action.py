# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations


class ModuleDocFragment:
    """What the attributes of this collection's actions mean; each says which of them it supports."""

    DOCUMENTATION = r"""
attributes:
  action:
    description: Runs on the controller and asks the host over its connection, with no module bootstrap.
    support: full
  check_mode:
    description: Can run in check_mode and say what would change without changing it.
  diff_mode:
    description: Says what changed, or would change, when in diff mode.
  idempotent:
    description: Run again with nothing changed in between, it changes nothing.
    support: full
"""
