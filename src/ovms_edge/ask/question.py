"""What is asked, and how its answer is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError, UsageError
from ovms_edge.ovms.chat import Completion, chat_body
from ovms_edge.ovms.client import OvmsClient, OvmsRefusedError
from ovms_edge.ovms.images import Image, read_image


@dataclass(frozen=True)
class Question:
    """``model`` is empty for the only one that is served; ``timeout`` in seconds, for the whole answer."""

    prompt: str
    images: tuple[Image, ...]
    model: str
    max_tokens: int
    timeout: float
    streamed: bool


def read_prompt(given: str) -> str:
    """Return the prompt, from standard input if it is ``-``; raises UsageError if it is empty."""
    prompt = sys.stdin.read().strip() if given == "-" else given
    if not prompt.strip():
        raise UsageError("the prompt is empty", "give a question, or - to read it from standard input")
    return prompt


def read_images(paths: list[Path]) -> tuple[Image, ...]:
    """Return the images, and say on standard error which are large; raises EdgeError."""
    images = tuple(read_image(path) for path in paths)
    for image in images:
        if image.hint:
            sys.stderr.write(f"hint: {image.hint}\n")
    return images


def read_api_key(path: Path) -> str:
    """Return the first line of ``path``, as OVMS reads its own --api_key_file; raises EdgeError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeError(f"{path} cannot be read as an API key: {error}", "give a text file") from error
    if not lines or not lines[0].rstrip():
        raise EdgeError(f"the first line of {path} is empty", "put the API key there")
    return lines[0].rstrip()


def ask(client: OvmsClient, question: Question, on_text: Callable[[str], None] | None) -> Completion:
    """Ask, and return the answer; ``on_text`` is called with each piece of a streamed one."""
    model = question.model or only_model(client.models())
    urls = [image.url for image in question.images]
    body = chat_body(model, question.prompt, urls, question.max_tokens)
    try:
        if question.streamed:
            return client.chat_stream(body, question.timeout, on_text)
        return client.chat(body, question.timeout)
    except OvmsRefusedError as error:
        served = client.models()
        if model in served:
            raise
        raise EdgeError(
            f"{model} is not served there; {', '.join(served) or 'nothing'} is ({error.reason})",
            "give --model one of these names, exactly",
        ) from error


def only_model(listed: list[str]) -> str:
    """Return the model that is meant without a name; raises EdgeError where that is not clear."""
    if not listed:
        raise EdgeError(
            "nothing is AVAILABLE there", "wait for the load to end, or see /v1/config and the log"
        )
    if len(listed) > 1:
        raise EdgeError(f"there are several models: {', '.join(listed)}", "choose one with --model")
    return listed[0]


def summary(answer: Completion, max_tokens: int) -> str:
    """Return the line that closes an answer."""
    first = answer.first_token_seconds
    parts = [f"first token {first:.3f} s"] if first is not None else []
    parts += [f"total {answer.total_seconds:.3f} s", f"{answer.completion_tokens} tokens"]
    if answer.finish_reason == "length":
        parts.append(f"cut off at --max-tokens {max_tokens}")
    return ", ".join(parts)


def to_document(answer: Completion) -> dict[str, Any]:
    """Return the answer for JSON, times to the millisecond."""
    return {
        name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(answer).items()
    }
