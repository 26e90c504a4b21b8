"""What the sources do not say where the graph stands, in our own words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.corpus.case import LOADS, PARSES, Case

INITIALIZATION = "MEDIAPIPE_GRAPH_INITIALIZATION_ERROR"


@dataclass(frozen=True)
class Fact:
    """What becomes of the graphs whose place matches; ``expected`` None: it cannot be decided, ``why``."""

    place: str
    expected: str | None
    why: str


FACTS = (
    Fact(
        r"/(graph_export|pull_hf_model)_test\.cpp:",
        PARSES,
        "what pull mode writes; OVMS parses it before it keeps it (src/graph_export/graph_export.cpp)",
    ),
    Fact(
        r"/text_streamer_test\.cpp:",
        "INTERNAL_ERROR",
        "the fixture starts the node alone; as a graph it has neither input nor output",
    ),
    Fact(
        r"src/test/llmnode_test\.cpp:\d+ LLMOptionsHttpTest\.LLMNodeOptionsCheckPluginConfig",
        "LLM_NODE_RESOURCE_STATE_INITIALIZATION_FAILED",
        "2024.5 and 2025.0 mock the pipeline; the CPU plugin has no property A",
    ),
    Fact(r"/llmtemplate_test\.cpp:", LOADS, "the fixture serves it"),
    Fact(
        r"LLMNodeNameExists",
        None,
        "the test itself enters a node of that name before; one graph alone does not say so",
    ),
    Fact(
        r"LLMNodeBadWorkspacePathEmpty",
        None,
        "refused in the unit test only, where the graph has no directory; a served one always has",
    ),
    Fact(
        r"MultipleNodesCacheDirPrecedence",
        INITIALIZATION,
        "the test starts the nodes without MediaPipe, which refuses two producers of one stream",
    ),
    Fact(
        r"LLMModelsFromConfigJsonMultipleCacheDirPrecedence",
        LOADS,
        "both graphs are served from one config.json",
    ),
    Fact(
        r"MediapipeGraphQueueSizeDirective\.",
        "LLM_NODE_MISSING_OPTIONS",
        "the test looks at the queue and leaves the node without options",
    ),
)


def fact_of(case: Case) -> Fact | None:
    """Return the fact that overrides what was read beside the graph."""
    return next((fact for fact in FACTS if re.search(fact.place, case.place)), None)
