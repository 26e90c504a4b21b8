"""Property names that OpenVINO's plugins take, so that a misspelt one is found before it fails the load.

Sources: openvinotoolkit/openvino 2025.4 src/plugins/intel_gpu/include/intel_gpu/runtime/options.inl and
src/inference/include/openvino/runtime/properties.hpp; the CPU's were asked of the CPU plugin of OpenVINO
2025.4.1, one compile_model each. Names of other releases are taken, too: a name is only called wrong if none
knows it. GenAI's: openvino.genai 2025.4.1.0 src/cpp/src/utils.cpp and src/cpp/src/continuous_batching.
"""

from __future__ import annotations

# taken by OpenVINO's core or by every plugin
_CORE = frozenset(
    {
        "ALLOW_AUTO_BATCHING",
        "AUTO_BATCH_TIMEOUT",
        "CACHE_DIR",
        "CACHE_MODE",
        "CACHE_MODEL_PATH",
        "DEVICE_ID",
        "DEVICE_PROPERTIES",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE",
        "ENABLE_CPU_PINNING",
        "ENABLE_CPU_RESERVATION",
        "ENABLE_MMAP",
        "EXCLUSIVE_ASYNC_REQUESTS",
        "EXECUTION_MODE_HINT",
        "FORCE_TBB_TERMINATE",
        "INFERENCE_PRECISION_HINT",
        "KEY_CACHE_QUANT_MODE",
        "KV_CACHE_PRECISION",
        "LOG_LEVEL",
        "LP_TRANSFORMS_MODE",
        "MODEL_DISTRIBUTION_POLICY",
        "NUM_STREAMS",
        "PERFORMANCE_HINT",
        "PERFORMANCE_HINT_NUM_REQUESTS",
        "PERF_COUNT",
        "VALUE_CACHE_QUANT_MODE",
        "WEIGHTS_PATH",
    }
)
_CPU = frozenset(
    {
        "AFFINITY",
        "CPU_DENORMALS_OPTIMIZATION",
        "CPU_RUNTIME_CACHE_CAPACITY",
        "CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE",
        "ENABLE_HYPER_THREADING",
        "ENABLE_SAGE_ATTN",
        "ENABLE_TENSOR_PARALLEL",
        "ENABLE_WEIGHTLESS",
        "INFERENCE_NUM_THREADS",
        "KEY_CACHE_GROUP_SIZE",
        "KEY_CACHE_PRECISION",
        "SCHEDULING_CORE_TYPE",
        "SNIPPETS_MODE",
        "VALUE_CACHE_GROUP_SIZE",
        "VALUE_CACHE_PRECISION",
    }
)
_GPU = frozenset(
    {
        "ACTIVATIONS_SCALE_FACTOR",
        "COMPILATION_NUM_THREADS",
        "CONFIG_FILE",
        "GPU_DISABLE_WINOGRAD_CONVOLUTION",
        "GPU_DYNAMIC_QUANTIZATION_GROUP_SIZE_MAX",
        "GPU_ENABLE_KERNELS_REUSE",
        "GPU_ENABLE_LARGE_ALLOCATIONS",
        "GPU_ENABLE_LOOP_UNROLLING",
        "GPU_ENABLE_LORA_OPERATION",
        "GPU_ENABLE_SDPA_OPTIMIZATION",
        "GPU_HOST_TASK_PRIORITY",
        "GPU_QUEUE_PRIORITY",
        "GPU_QUEUE_THROTTLE",
        "INFERENCE_NUM_THREADS",
        "MODEL_PRIORITY",
        "QUERY_MODEL_RATIO",
    }
)
# GenAI takes these out before a device sees them
GENAI_PROPERTIES = frozenset({"ATTENTION_BACKEND", "prompt_lookup", "sampler_num_threads"})
# OVMS writes these under their present names (src/json_parser.cpp)
RENAMED_PROPERTIES = {
    "CPU_THROUGHPUT_STREAMS": "NUM_STREAMS",
    "GPU_THROUGHPUT_STREAMS": "NUM_STREAMS",
    "CPU_THREADS_NUM": "INFERENCE_NUM_THREADS",
}

# What the plugins take, as compile_model of OpenVINO 2025.4.1 answers on the CPU.
INFERENCE_PRECISIONS = ("f16", "bf16", "f32", "dynamic")
KV_PRECISIONS = ("u8", "i8", "u4", "i4", "f16", "bf16", "f32", "dynamic")
CPU_KV_PRECISIONS = ("u8", "bf16", "f16", "f32")
PERFORMANCE_HINTS = ("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT")


def property_names(device: str) -> frozenset[str] | None:
    """Return the names that ``device`` takes, None for one whose names are not known here (NPU, AUTO)."""
    kind = device.partition(".")[0]
    if kind not in ("CPU", "GPU"):
        return None
    return _CORE | GENAI_PROPERTIES | frozenset(RENAMED_PROPERTIES) | (_CPU if kind == "CPU" else _GPU)


_SPELT_IN_CAPITALS_TOO = (
    "bf16", "i4", "i8", "i16", "i32", "i64", "u1", "u2", "u3", "u4", "u6", "u8", "u16", "u32", "u64",
    "nf4", "f4e2m1", "f8e4m3", "f8e5m2", "f8e8m0", "string",
)  # fmt: skip
_ELEMENT_TYPES = {
    **{name: name for name in ("boolean", "f16", "f32", "f64", *_SPELT_IN_CAPITALS_TOO)},
    **{name.upper(): name for name in _SPELT_IN_CAPITALS_TOO},
    "BOOL": "boolean",
    "FP16": "f16",
    "FP32": "f32",
    "FP64": "f64",
}


def element_type(name: str) -> str:
    """Return the type that OpenVINO reads from ``name``: text that names none is ``dynamic``.

    openvino 2025.4.1 src/core/src/type/element_type.cpp, where FP16 is a name and F16 is not.
    """
    return _ELEMENT_TYPES.get(name, "dynamic")
