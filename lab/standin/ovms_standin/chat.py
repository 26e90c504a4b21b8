"""A chat completion request: what OVMS accepts and refuses, in its order
(v2025.4.1 src/llm/apis/openai_completions.cpp)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ovms_standin.images import Pixels, load
from ovms_standin.status import InvalidArgument

UINT32_MAX = 2**32 - 1
_MAX_STOP_WORDS = 4
_RESTRICTED_TAG = "<ov_genai_image_"


@dataclass(frozen=True)
class Limits:
    """What the graph and the command line allow."""

    max_tokens: int | None
    best_of: int
    allowed_local_media_path: str | None


@dataclass
class ChatRequest:
    """``history`` has image tags before the text; ``generation`` names attributes of GenAI's config."""

    model: str
    stream: bool = False
    include_usage: bool = False
    logprobs: bool = False
    history: list[dict[str, str]] = field(default_factory=list)
    images: list[Pixels] = field(default_factory=list)
    image_turns: list[int] = field(default_factory=list)
    generation: dict[str, Any] = field(default_factory=dict)


def parse(document: dict[str, Any], limits: Limits) -> ChatRequest:
    """Read the JSON body; raises InvalidArgument."""
    request = ChatRequest(model=document["model"])
    _common(document, limits, request)
    _messages(document, limits, request)
    _tools(document)
    logprobs = _optional(document, "logprobs", _is_bool, "logprobs accepts values true or false")
    if logprobs and request.stream:
        raise InvalidArgument("logprobs are not supported in streaming mode.")
    if logprobs:
        request.logprobs = True
        request.generation["logprobs"] = 1
    completion_tokens = document.get("max_completion_tokens")
    if completion_tokens is not None:
        tokens = _uint("max_completion_tokens", completion_tokens)
        if limits.max_tokens is not None and tokens > limits.max_tokens:
            raise InvalidArgument(
                f"max_completion_tokens exceeds limit provided in graph config: {limits.max_tokens}"
            )
        request.generation["max_new_tokens"] = tokens
    if request.generation.get("max_new_tokens") == 0:
        raise InvalidArgument("max_tokens value should be greater than 0")
    _tag_images(request)
    return request


def _common(document: dict[str, Any], limits: Limits, request: ChatRequest) -> None:
    generation = request.generation
    request.stream = _optional(document, "stream", _is_bool, "Stream is not bool") or False
    request.include_usage = _include_usage(document, request.stream)
    _copy(document, generation, "ignore_eos", _is_bool, "ignore_eos accepts values true or false")
    if "max_tokens" in document:
        tokens = _uint("max_tokens", document["max_tokens"])
        if limits.max_tokens is not None and not tokens < limits.max_tokens:
            raise InvalidArgument(f"max_tokens exceeds limit provided in graph config: {limits.max_tokens}")
        generation["max_new_tokens"] = tokens
    elif limits.max_tokens is not None:
        generation["max_new_tokens"] = limits.max_tokens
    _number(document, generation, "frequency_penalty", -2.0, 2.0)
    _number(document, generation, "presence_penalty", -2.0, 2.0)
    _number(document, generation, "repetition_penalty")
    _number(document, generation, "length_penalty")
    _number(document, generation, "temperature", 0.0, 2.0)
    _number(document, generation, "top_p", 0.0, 1.0)
    _copy(document, generation, "top_k", _is_int, "top_k is not an integer")
    seed = _optional(document, "seed", _is_uint, "seed is not an unsigned integer")
    if seed is not None:
        generation["rng_seed"] = seed
    _stop(document, generation)
    _include_stop(document, request.stream, generation)
    _sequences(document, limits, request.stream, generation)


def _include_usage(document: dict[str, Any], stream: bool) -> bool:
    options = document.get("stream_options")
    if options is None:
        return False
    if not stream:
        raise InvalidArgument("stream_options provided, but stream not set to true")
    if not isinstance(options, dict):
        raise InvalidArgument("stream_options is not an object")
    include_usage = options.get("include_usage", False)
    if not isinstance(include_usage, bool):
        raise InvalidArgument("stream_options.include_usage is not a boolean")
    if set(options) - {"include_usage"}:
        raise InvalidArgument(
            "Found unexpected stream options. Properties accepted in stream_options: include_usage"
        )
    return include_usage


def _stop(document: dict[str, Any], generation: dict[str, Any]) -> None:
    stop = document.get("stop")
    if stop is None:
        return
    words = [stop] if isinstance(stop, str) else stop
    if not isinstance(words, list):
        raise InvalidArgument("stop is not a string or array of strings")
    if len(words) > _MAX_STOP_WORDS:
        raise InvalidArgument(f"stop array must have no more than {_MAX_STOP_WORDS} strings")
    if not all(isinstance(word, str) for word in words):
        raise InvalidArgument("stop array contains non string element")
    if words:
        generation["stop_strings"] = set(words)


def _include_stop(document: dict[str, Any], stream: bool, generation: dict[str, Any]) -> None:
    name = "include_stop_str_in_output"
    asked = _optional(document, name, _is_bool, f"{name} accepts values true or false")
    if asked is False and stream:
        raise InvalidArgument(f"{name} cannot be set to false if streaming is used")
    if stream or asked is not None:
        generation[name] = stream if asked is None else asked


def _sequences(document: dict[str, Any], limits: Limits, stream: bool, generation: dict[str, Any]) -> None:
    best_of = _optional(document, "best_of", _is_uint, "best_of is not an unsigned integer")
    if best_of is not None:
        if best_of == 0:
            raise InvalidArgument("best_of value should be greater than 0")
        if not best_of < limits.best_of:
            raise InvalidArgument(f"best_of exceeds limit provided in graph config: {limits.best_of}")
        if stream:
            raise InvalidArgument("best_of cannot be used in streaming mode")
        generation["num_beams"] = best_of
    wanted = _optional(document, "n", _is_uint, "n is not an unsigned integer")
    if wanted is not None:
        if wanted == 0:
            raise InvalidArgument("n value should be greater than 0")
        if (best_of or 1) < wanted:
            raise InvalidArgument("n value cannot be greater than best_of")
        generation["num_return_sequences"] = wanted


def _messages(document: dict[str, Any], limits: Limits, request: ChatRequest) -> None:
    if "messages" not in document:
        raise InvalidArgument("Messages missing in request")
    messages = document["messages"]
    if not isinstance(messages, list):
        raise InvalidArgument("Messages are not an array")
    if not messages:
        raise InvalidArgument("Messages array cannot be empty")
    for turn, message in enumerate(messages):
        if not isinstance(message, dict):
            raise InvalidArgument("Message is not a JSON object")
        kept = {
            name: value
            for name, value in message.items()
            if name in ("role", "content") and isinstance(value, str)
        }
        if isinstance(message.get("content"), list):
            kept["content"] = _content_parts(message["content"], turn, limits, request)
        if "role" not in kept:
            raise InvalidArgument("Every message must have 'role' field")
        kept.setdefault("content", "")
        request.history.append(kept)


def _content_parts(parts: list[Any], turn: int, limits: Limits, request: ChatRequest) -> str:
    wrong = "Invalid message structure - "
    if not parts:
        raise InvalidArgument(f"{wrong}content array is empty")
    text = ""
    for part in parts:
        if not isinstance(part, dict):
            raise InvalidArgument(f"{wrong}content array should contain objects")
        if not isinstance(part.get("type"), str):
            raise InvalidArgument(f"{wrong}content object type missing")
        if part["type"] == "text":
            if not isinstance(part.get("text"), str):
                raise InvalidArgument(f"{wrong}content text missing")
            text = part["text"]  # OVMS keeps the last one
        elif part["type"] == "image_url":
            if not isinstance(part.get("image_url"), dict):
                raise InvalidArgument(f"{wrong}content image_url missing")
            url = part["image_url"].get("url")
            if not isinstance(url, str):
                raise InvalidArgument(f"{wrong}image_url does not have url field")
            request.images.append(load(url, limits.allowed_local_media_path))
            request.image_turns.append(turn)
        else:
            raise InvalidArgument("Unsupported content type")
    return text


def _tools(document: dict[str, Any]) -> None:
    choice = document.get("tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        raise InvalidArgument("tool_choice should be either 'none' or 'auto' or 'required'")
    if choice is not None and not isinstance(choice, str | dict):
        raise InvalidArgument("tool_choice is not a valid JSON object or string")
    tools = document.get("tools")
    if tools is not None and choice != "none" and not isinstance(tools, list):
        raise InvalidArgument("Tools are not an array")


def _tag_images(request: ChatRequest) -> None:
    if any(_RESTRICTED_TAG in message["content"] for message in request.history):
        raise InvalidArgument("Message contains restricted <ov_genai_image> tag")
    tags = [""] * len(request.history)
    for index, turn in enumerate(request.image_turns):
        tags[turn] += f"{_RESTRICTED_TAG}{index}>\n"
    for message, tag in zip(request.history, tags, strict=True):
        message["content"] = tag + message["content"]


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31


def _is_uint(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= UINT32_MAX


def _uint(name: str, value: Any) -> int:
    if _is_uint(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value > UINT32_MAX:
        raise InvalidArgument(f"{name} value can't be greater than {UINT32_MAX}")
    raise InvalidArgument(f"{name} is not an unsigned integer")


def _optional(document: dict[str, Any], name: str, accepts: Any, message: str) -> Any:
    value = document.get(name)
    if value is not None and not accepts(value):
        raise InvalidArgument(message)
    return value


def _copy(
    document: dict[str, Any], generation: dict[str, Any], name: str, accepts: Any, message: str
) -> None:
    value = _optional(document, name, accepts, message)
    if value is not None:
        generation[name] = value


def _number(
    document: dict[str, Any],
    generation: dict[str, Any],
    name: str,
    lowest: float | None = None,
    highest: float | None = None,
) -> None:
    value = document.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument(f"{name} is not a valid number")
    if lowest is not None and highest is not None and not lowest <= value <= highest:
        raise InvalidArgument(f"{name} out of range({lowest:.1f}, {highest:.1f})")
    generation[name] = float(value)
