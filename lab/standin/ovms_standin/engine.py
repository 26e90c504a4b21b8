"""The process that holds the model: OpenVINO GenAI's continuous batching pipeline, driven as OVMS drives it
(v2025.4.1 src/llm/language_model/continuous_batching/llm_executor.hpp).

A process of its own, because GenAI's Python binding keeps the interpreter's lock while it loads a model, and
OVMS answers HTTP meanwhile. Messages are described in ``messages.py``.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import openvino
import openvino_genai as genai

from ovms_standin import device, log
from ovms_standin.messages import Chunk, Load, Loaded, Rejected, Sequence, Submit, Unary

logger = logging.getLogger("llm_executor")
NO_LIMIT = 2**64 - 1


class Generation:
    """One request in the pipeline. All its methods but ``cancel`` are called by the executor thread."""

    def __init__(self, submit: Submit, handle: Any, tokenizer: Any, prompt_tokens: int) -> None:
        self._submit = submit
        self._handle = handle
        self._tokenizer = tokenizer
        self._prompt_tokens = prompt_tokens
        self._text = ""
        self._streamer = genai.TextStreamer(tokenizer, self._keep)

    def _keep(self, text: str) -> genai.StreamingStatus:
        self._text += text
        return genai.StreamingStatus.RUNNING

    def cancel(self) -> None:
        self._handle.cancel()

    def drain(self) -> tuple[list[Chunk | Unary], bool]:
        """Return what the last steps gave, and whether the request is finished."""
        finished = self._handle.get_status() != genai.GenerationStatus.RUNNING
        if self._submit.stream:
            return self._chunks(finished), finished
        if not finished:
            return [], False
        sequences = tuple(self._sequence(output) for output in self._handle.read_all())
        return [Unary(self._submit.id, sequences or (Sequence("", 0, "stop", ()),))], True

    def _chunks(self, finished: bool) -> list[Chunk | Unary]:
        chunks: list[Chunk | Unary] = []
        last_reason = None
        while self._handle.can_read():
            for output in self._handle.read().values():
                self._streamer.write(output.generated_ids)
                last_reason = _reason(output.finish_reason)
                if last_reason is None and self._text:
                    chunks.append(Chunk(self._submit.id, self._text, len(output.generated_ids), None))
                    self._text = ""
                elif last_reason is None:
                    chunks.append(Chunk(self._submit.id, "", len(output.generated_ids), None))
                else:
                    self._streamer.end()
                    chunks.append(Chunk(self._submit.id, self._text, len(output.generated_ids), last_reason))
        if finished and last_reason is None:  # ignored or cancelled: nothing with a reason came
            chunks.append(Chunk(self._submit.id, "", 0, "stop"))
        return chunks

    def _sequence(self, output: Any) -> Sequence:
        ids = list(output.generated_ids)
        logprobs = (
            tuple(
                (self._tokenizer.decode([token]), value)
                for token, value in zip(ids, output.generated_log_probs, strict=True)
            )
            if self._submit.logprobs
            else ()
        )
        text = self._tokenizer.decode(ids)
        return Sequence(text, len(ids), _reason(output.finish_reason) or "unknown", logprobs)


class Engine:
    def __init__(self, load: Load, connection: Connection) -> None:
        self._load = load
        self._connection = connection
        self._send_lock = threading.Lock()
        self._wake = threading.Condition()
        self._running: dict[int, Generation] = {}
        self._kv_cache_allocated = False
        self._pipeline = _pipeline(load)
        self._tokenizer = self._pipeline.get_tokenizer()
        self._config_file = load.models_path / "generation_config.json"

    def send(self, message: object) -> None:
        with self._send_lock:
            self._connection.send(message)

    def serve(self) -> None:
        """Take requests until the server closes the connection."""
        threading.Thread(target=self._execute, name="executor", daemon=True).start()
        while True:
            try:
                message = self._connection.recv()
            except EOFError:
                return
            if isinstance(message, Submit):
                self._add(message)
            else:
                with self._wake:
                    generation = self._running.get(message.id)
                if generation is not None:
                    generation.cancel()

    def _add(self, submit: Submit) -> None:
        try:
            prompt = self._tokenizer.apply_chat_template(submit.history, True)
            prompt_tokens = int(
                np.prod(self._tokenizer.encode(prompt, add_special_tokens=False).input_ids.shape)
            )
            images = [_tensor(*image) for image in submit.images]
            config = self._generation_config(submit.generation)
            handle = self._pipeline.add_request(submit.id, prompt, images, config)
        except RuntimeError as error:
            # OVMS passes on what ov::AssertFailure says, and of other exceptions only that there was one
            asserted = str(error).startswith("Check ")
            self.send(Rejected(submit.id, str(error) if asserted else "Response generation failed"))
            return
        self.send(Loaded(submit.id, prompt_tokens))
        generation = Generation(submit, handle, self._tokenizer, prompt_tokens)
        with self._wake:
            self._running[submit.id] = generation
            self._wake.notify()

    def _generation_config(self, wanted: dict[str, Any]) -> Any:
        file = self._config_file
        config = genai.GenerationConfig(file) if file.exists() else genai.GenerationConfig()
        config.apply_chat_template = False
        config.num_beam_groups = 1
        config.num_beams = 1
        config.no_repeat_ngram_size = NO_LIMIT
        if self._load.max_model_length is not None:
            config.max_length = self._load.max_model_length
        for name, value in wanted.items():
            setattr(config, name, value)
        config.do_sample = config.temperature > 0 and config.num_beams == 1
        return config

    def _execute(self) -> None:
        try:
            while True:
                with self._wake:
                    while not self._running:
                        self._wake.wait()
                    running = dict(self._running)
                if not self._kv_cache_allocated:
                    _allocate_kv_cache(self._load.cache_size_gib)
                    self._kv_cache_allocated = True
                self._pipeline.step()
                for number, generation in running.items():
                    messages, finished = generation.drain()
                    if finished:
                        with self._wake:
                            del self._running[number]
                    for message in messages:
                        self.send(message)
        except (RuntimeError, MemoryError) as error:
            # as OVMS: the whole server goes down, its restart policy brings it back
            logger.error("Error occurred in LLM executor: %s.", error)
            os._exit(1)


def _pipeline(load: Load) -> Any:
    capacity = device.kv_cache_capacity(load.device)
    if load.cache_size_gib * device.GIB > capacity:
        raise RuntimeError("Requested KV-cache size is larger than available memory size on the system.")
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 0  # see README: grows on demand, so that many stores fit on one machine
    for name, value in load.scheduler.items():
        setattr(scheduler, name, value)
    properties = _cpu_properties(load)
    return genai.ContinuousBatchingPipeline(
        load.models_path, scheduler, "CPU", properties, {"PERFORMANCE_HINT": "THROUGHPUT"}
    )


def _cpu_properties(load: Load) -> dict[str, Any]:
    """Return the properties for the CPU, that really computes; raises RuntimeError for unknown ones."""
    if "GPU" not in load.device:
        return load.plugin_config
    unknown = sorted(set(load.plugin_config) - device.GPU_PROPERTIES - {"DEVICE_PROPERTIES"})
    if unknown:
        raise RuntimeError(f"NotFound: Unsupported property {unknown[0]} by GPU plugin.")
    supported = {str(name) for name in openvino.Core().get_property("CPU", "SUPPORTED_PROPERTIES")}
    supported |= {"CACHE_DIR", "CACHE_MODE"}
    return {name: value for name, value in load.plugin_config.items() if name in supported}


def _allocate_kv_cache(cache_size_gib: int) -> None:
    """Raise MemoryError where OVMS would get no memory for the pool that the first request needs."""
    needed = device.resident_bytes() + cache_size_gib * device.GIB
    limit = device.memory_limit()
    if needed > limit:
        raise MemoryError(
            f"[GPU] out of resources: {cache_size_gib} GiB KV cache, {limit / device.GIB:.1f} GiB memory"
        )


def _tensor(width: int, height: int, data: bytes) -> Any:
    return openvino.Tensor(np.frombuffer(data, dtype=np.uint8).reshape(1, height, width, 3))


def _reason(reason: Any) -> str | None:
    names = {genai.GenerationFinishReason.STOP: "stop", genai.GenerationFinishReason.LENGTH: "length"}
    return names.get(reason)


def main() -> None:
    connection = Connection(socket.socket(fileno=int(sys.argv[1])).detach())
    load: Load = connection.recv()
    log.set_up(load.log_level, load.log_path)
    try:
        engine = Engine(load, connection)
    except RuntimeError as error:
        connection.send(Rejected(0, str(error)))
        return
    engine.send(Loaded(0, 0))
    engine.serve()
    os._exit(0)  # the executor thread may be inside GenAI, which must not see the interpreter go


if __name__ == "__main__":
    main()
