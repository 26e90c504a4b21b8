from __future__ import annotations


class EdgeError(Exception):
    """Something the user can cause, and can mend.

    Shown as ``reason; remedy`` and never as a traceback.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        """``reason`` names cause and object with the value found; ``remedy`` is what to do."""
        super().__init__(f"{reason}; {remedy}")
        self.reason = reason
        self.remedy = remedy


class UsageError(EdgeError):
    """The call itself is wrong: exit status 2."""
