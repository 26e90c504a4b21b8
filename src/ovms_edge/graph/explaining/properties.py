"""What the properties in ``plugin_config`` mean, those that people set for a language model.

Sources: openvinotoolkit/openvino 2025.4, src/inference/include/openvino/runtime/properties.hpp and
.../intel_gpu/properties.hpp; openvinotoolkit/openvino.genai 2025.4.1.0, src/cpp/src/utils.cpp and
src/cpp/src/continuous_batching/pipeline.cpp for those that GenAI takes out before a device sees them.
"""

from __future__ import annotations

MEANINGS = {
    "ATTENTION_BACKEND": "SDPA or PA (paged attention); continuous batching needs PA",
    "CACHE_DIR": "compiled kernels and models are kept there, so that the next start is faster; OVMS must be "
    "able to write to it",
    "CACHE_MODE": "what CACHE_DIR keeps: OPTIMIZE_SIZE leaves weights out, OPTIMIZE_SPEED takes them in",
    "CPU_THROUGHPUT_STREAMS": "old name that OVMS reads as NUM_STREAMS",
    "DEVICE_PROPERTIES": "properties for single devices, where device names several",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "activations are quantized at run time in groups "
    "of this size: faster, less exact; 0 is off",
    "ENABLE_CPU_PINNING": "threads stay on their cores",
    "ENABLE_HYPER_THREADING": "both threads of a core are used",
    "ENABLE_MMAP": "weights are mapped from the file instead of copied",
    "EXECUTION_MODE_HINT": "PERFORMANCE may lower the precision of computation, ACCURACY keeps it",
    "GPU_ENABLE_LARGE_ALLOCATIONS": "allows single GPU buffers above 4 GiB",
    "GPU_ENABLE_SDPA_OPTIMIZATION": "fused attention on the GPU",
    "GPU_QUEUE_PRIORITY": "who goes first where others use the GPU, too",
    "GPU_QUEUE_THROTTLE": "how hard the driver polls: LOW spares the CPU",
    "GPU_THROUGHPUT_STREAMS": "old name that OVMS reads as NUM_STREAMS",
    "INFERENCE_NUM_THREADS": "threads of the CPU plugin",
    "INFERENCE_PRECISION_HINT": "precision of computation, f16 on a GPU unless set",
    "KV_CACHE_PRECISION": "bits of a value in the KV cache: u8 holds twice as many tokens as f16",
    "LOG_LEVEL": "how much OpenVINO logs",
    "MAX_PROMPT_LEN": "longest prompt in tokens, NPU only",
    "MIN_RESPONSE_LEN": "tokens kept free for the answer, NPU only",
    "MODEL_DISTRIBUTION_POLICY": "how a CPU model is spread over sockets",
    "MODEL_PRIORITY": "which model goes first where several share a device",
    "NUM_STREAMS": "inferences at once on the device; continuous batching keeps one batch, so 1 is right",
    "PERFORMANCE_HINT": "LATENCY for one request at a time, THROUGHPUT for many",
    "PERFORMANCE_HINT_NUM_REQUESTS": "how many requests at once THROUGHPUT reckons with",
    "PERF_COUNT": "time of each layer is measured: slower",
    "SCHEDULING_CORE_TYPE": "which cores of a hybrid CPU are used",
    "WEIGHTS_PATH": "where weights are that a cached model left out",
    "prompt_lookup": "drafts tokens from the prompt itself; text models only",
}

UNKNOWN = "not known here; OVMS hands it to OpenVINO, which refuses names that it does not know when it loads"
REACH = "for the language model alone: vision encoder, embeddings and tokenizer get none of it"


def meaning_of(key: str) -> str:
    """Return what the property does."""
    return MEANINGS.get(key, UNKNOWN)
