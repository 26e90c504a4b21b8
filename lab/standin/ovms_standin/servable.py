"""A loaded graph: the server's end of its engine process."""

from __future__ import annotations

import itertools
import json
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ovms_standin import device
from ovms_standin.chat import ChatRequest, Limits
from ovms_standin.graph import LlmNode
from ovms_standin.messages import Cancel, Chunk, Load, Rejected, Submit, Unary
from ovms_standin.options import Options
from ovms_standin.status import InvalidArgument, StatusCode, StatusError

logger = logging.getLogger("modelmanager")
_SCHEDULER_FIELDS = (
    "max_num_batched_tokens",
    "max_num_seqs",
    "dynamic_split_fuse",
    "enable_prefix_caching",
)
_UNSUPPORTED = ("draft_models_path", "cache_eviction_config", "sparse_attention_config")
_MODEL_LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "seq_len",
    "seq_length",
    "n_ctx",
    "sliding_window",
)


class Answer:
    """The messages of one request, in order."""

    def __init__(self, servable: Servable, number: int, messages: queue.SimpleQueue[Any]) -> None:
        self._servable = servable
        self._number = number
        self._messages = messages
        accepted = messages.get()
        if isinstance(accepted, Rejected):
            servable.forget(number)
            raise InvalidArgument(accepted.reason)
        self.prompt_tokens: int = accepted.prompt_tokens

    def unary(self) -> Unary:
        message: Unary = self._messages.get()
        self._servable.forget(self._number)
        return message

    def chunks(self) -> Iterator[Chunk]:
        finished = False
        try:
            while not finished:
                chunk: Chunk = self._messages.get()
                finished = chunk.finish_reason is not None
                yield chunk
        finally:  # also when the client has gone
            if not finished:
                self._servable.cancel(self._number)
            self._servable.forget(self._number)


class Servable:
    """Loads in the constructor, for as long as that takes; raises StatusError."""

    def __init__(self, node: LlmNode, options: Options) -> None:
        self.node = node
        self.limits = Limits(
            node.options["max_tokens_limit"],
            node.options["best_of_limit"],
            options.allowed_local_media_path,
        )
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[Any]] = {}
        self._lock = threading.Lock()
        self._retired = False
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-B", "-s", "-P", "-m", "ovms_standin.engine", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())
        self._load(options)
        threading.Thread(target=self._receive, name="engine", daemon=True).start()

    def _load(self, options: Options) -> None:
        node = self.node
        try:
            _check_offered(node)
            self._connection.send(
                Load(
                    node.models_path,
                    node.options["device"],
                    node.options["cache_size"],
                    {name: node.options[name] for name in _SCHEDULER_FIELDS},
                    dict(node.plugin_config),
                    _max_model_length(node.models_path),
                    options.log_level,
                    options.log_path,
                )
            )
            answer = self._connection.recv()
            if isinstance(answer, Rejected):
                raise RuntimeError(answer.reason)
        except (RuntimeError, EOFError, OSError) as error:
            self._process.kill()
            self._process.wait()
            logger.error(
                "Error during llm node initialization for models_path: %s exception: %s",
                node.models_path,
                str(error) or f"engine ended with status {self._process.returncode}",
            )
            raise StatusError(StatusCode.LLM_NODE_RESOURCE_STATE_INITIALIZATION_FAILED) from error

    def ask(self, request: ChatRequest) -> Answer:
        """Queue the request; raises InvalidArgument if GenAI refuses it, StatusError after ``retire``."""
        messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        images = tuple((image.width, image.height, image.data) for image in request.images)
        with self._lock:
            if self._retired:
                raise StatusError(StatusCode.MEDIAPIPE_DEFINITION_NOT_LOADED_YET)
            number = next(self._numbers)
            self._waiting[number] = messages
            self._connection.send(
                Submit(number, request.history, images, request.generation, request.stream, request.logprobs)
            )
        return Answer(self, number, messages)

    def cancel(self, number: int) -> None:
        with self._lock:
            if self._process.poll() is None:
                self._connection.send(Cancel(number))

    def forget(self, number: int) -> None:
        with self._lock:
            self._waiting.pop(number, None)
            self._end_if_unused()

    def retire(self) -> None:
        """Let go of the model: at once, or when the requests in flight have been answered."""
        with self._lock:
            self._retired = True
            self._end_if_unused()

    def _end_if_unused(self) -> None:
        if self._retired and not self._waiting and self._process.returncode is None:
            self._process.kill()
            self._process.wait()

    def _receive(self) -> None:
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                break
            with self._lock:
                waiting = self._waiting.get(message.id)
            if waiting is not None:
                waiting.put(message)
        if not self._retired:
            logger.error("LLM executor ended; the server ends with it")
            sys.stdout.flush()
            os._exit(1)


def _check_offered(node: LlmNode) -> None:
    for name in _UNSUPPORTED:
        if node.options[name]:
            raise RuntimeError(f"{name} is not offered by the stand-in")
    missing = device.missing_device(node.options["device"], device.available_devices())
    if missing is not None:
        raise RuntimeError(
            f'Check failed: Device with "{missing}" name is not registered in the OpenVINO Runtime'
        )


def _max_model_length(models_path: Path) -> int | None:
    try:
        config = json.loads((models_path / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    return next((config[name] for name in _MODEL_LENGTHS if isinstance(config.get(name), int)), None)
