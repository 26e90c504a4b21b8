"""The calculators that OVMS brings: their names, and the contract of the one that serves LLMs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ovms_edge.ovms.kv_cache import release_of

LLM_CALCULATOR = "HttpLLMCalculator"
# OVMS loads a model for each node whose calculator ends like this (mediapipegraphdefinition.cpp).
LLM_CALCULATOR_ENDING = "LLMCalculator"

_CONTEXTS_SINCE = (2026, 2)


@dataclass(frozen=True)
class Contract:
    """Tags that a calculator has to have, with the type of what they carry; ``optional`` ones it may have."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    side_packets: Mapping[str, str]
    optional_side_packets: Mapping[str, str]


def llm_contract(ovms_version: str) -> Contract:
    """Return HttpLLMCalculator's (model_server src/llm/http_llm_calculator.cc, ``GetContract``)."""
    contexts = {}
    if release_of(ovms_version) >= _CONTEXTS_SINCE:
        contexts["LLM_NODE_EXECUTION_CONTEXTS"] = "llm_ctx"
    return Contract(
        inputs=MappingProxyType({"HTTP_REQUEST_PAYLOAD": "ovms::HttpPayload", "LOOPBACK": "bool"}),
        outputs=MappingProxyType({"HTTP_RESPONSE_PAYLOAD": "std::string", "LOOPBACK": "bool"}),
        side_packets=MappingProxyType({"LLM_NODE_RESOURCES": "llm"}),
        optional_side_packets=MappingProxyType(contexts),
    )


# Others that the public images register: model_server src (REGISTER_CALCULATOR at the tags v2024.4 to
# v2026.3), openvinotoolkit/mediapipe mediapipe/calculators/ovms. What they want is not checked here.
OTHER_CALCULATORS = frozenset(
    {
        "EmbeddingsCalculator",
        "EmbeddingsCalculatorOV",
        "ImageGenCalculator",
        "OpenVINOInferenceCalculator",
        "OpenVINOModelServerSessionCalculator",
        "PyTensorOvTensorConverterCalculator",
        "PythonExecutorCalculator",
        "RerankCalculator",
        "RerankCalculatorOV",
        "S2tCalculator",
        "T2sCalculator",
    }
)

# Input stream handlers of openvinotoolkit/mediapipe mediapipe/framework/stream_handler.
SYNC_SET_HANDLER = "SyncSetInputStreamHandler"
HANDLERS = frozenset(
    {
        SYNC_SET_HANDLER,
        "BarrierInputStreamHandler",
        "DefaultInputStreamHandler",
        "EarlyCloseInputStreamHandler",
        "FixedSizeInputStreamHandler",
        "ImmediateInputStreamHandler",
        "MuxInputStreamHandler",
        "TimestampAlignInputStreamHandler",
    }
)
OUTPUT_HANDLERS = frozenset({"InOrderOutputStreamHandler"})
