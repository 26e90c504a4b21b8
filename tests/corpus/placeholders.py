"""What OVMS's tests put into the holes of their graphs."""

from __future__ import annotations

# llmtemplate_test.cpp puts a directory there that links the files of its text model
MODELS_PATTERN = "<MODELS_PATTERN>"
TEXT_MODEL = "/ovms/src/test/llm_testing/facebook/opt-125m"
VISION_MODEL = "/ovms/src/test/llm_testing/OpenGVLab/InternVL2-1B"


def hole_values(suite: str, parameter: str) -> dict[str, str]:
    """Return the C++ expressions of a test suite and their values.

    A fixture whose name holds VLM sets the vision model (SetUp in src/test/llm/llmnode_test.cpp, 2025.1 on).
    """
    model = VISION_MODEL if "VLM" in suite else TEXT_MODEL
    return {
        "modelsPath": model,
        "resolvedModelsPath": model,
        "nodeCacheDir": "/tmp/node_cache",  # noqa: S108 - text in a graph; nothing is written there
        "pipelineType": parameter,
    }
