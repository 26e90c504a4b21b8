"""How Hypothesis works here: no example has to be quick, since a busy machine would fail what is right."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ovms-edge", deadline=None)
settings.load_profile("ovms-edge")
