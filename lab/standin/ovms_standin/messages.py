"""What the server and its engine process say to each other, pickled over a socket pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Load:
    """The first message: what to load. Answered by Loaded or Rejected with id 0."""

    models_path: Path
    device: str
    cache_size_gib: int
    scheduler: dict[str, Any]
    plugin_config: dict[str, Any]
    max_model_length: int | None
    log_level: str
    log_path: Path | None


@dataclass(frozen=True)
class Submit:
    """A request, answered by Loaded or Rejected, then Chunks (streamed) or one Unary.

    ``images`` are (width, height, RGB bytes).
    """

    id: int
    history: list[dict[str, str]]
    images: tuple[tuple[int, int, bytes], ...]
    generation: dict[str, Any]
    stream: bool
    logprobs: bool


@dataclass(frozen=True)
class Cancel:
    id: int


@dataclass(frozen=True)
class Loaded:
    """The model or the request is in. ``prompt_tokens`` leave image tokens out, as in OVMS."""

    id: int
    prompt_tokens: int


@dataclass(frozen=True)
class Rejected:
    id: int
    reason: str


@dataclass(frozen=True)
class Chunk:
    """The last one has a ``finish_reason``; one with no text is not sent to the client."""

    id: int
    text: str
    tokens: int
    finish_reason: str | None


@dataclass(frozen=True)
class Sequence:
    text: str
    tokens: int
    finish_reason: str
    logprobs: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Unary:
    id: int
    sequences: tuple[Sequence, ...]
