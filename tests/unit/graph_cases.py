"""Graphs for the tests of the checker: a good one, and ways to spoil it."""

from __future__ import annotations

from ovms_edge.finding import Finding
from ovms_edge.graph.check import check_graph, first_error
from ovms_edge.ovms.graph import render_graph

PARSE = "MEDIAPIPE_GRAPH_CONFIG_FILE_INVALID"
INITIALIZE = "MEDIAPIPE_GRAPH_INITIALIZATION_ERROR"
LOAD = "LLM_NODE_RESOURCE_STATE_INITIALIZATION_FAILED"
NO_DIRECTORY = "LLM_NODE_DIRECTORY_DOES_NOT_EXIST"
PLUGIN = "PLUGIN_CONFIG_WRONG_FORMAT"

VERSION = "2025.4.1"
SET = {"device": "GPU", "cache_size": 4, "max_tokens_limit": 512}
GOOD = render_graph(SET, VERSION)
MODELS_PATH = '      models_path: "./"\n'

# What the seed of this project takes for a graph: its calculator, options and values.
SEED = """\
node: {
  calculator: "ModelAPISessionCalculator"
  output_side_packet: "SESSION:session"
  node_options: {
    [type.googleapis.com / mediapipe.ModelAPISidePacketCalculatorOptions]: {
      servable_name: "Qwen/Qwen2.5-VL-7B-Instruct-ov-int8" servable_version: "0" base_path: "/models"
    }
  }
  node_options: {
    [type.googleapis.com /mediapipe.LLMNodeOptions]: {
      max_num_seqs: 1 cache_size: 32 block_size: 32 max_num_batched_tokens: 256
      enable_prefix_caching: true dynamic_split_fuse: true
      plugin_config: { key: "NUM_STREAMS" value: "1" }
      plugin_config: { key: "CACHE_DIR" value: "/models/cache" }
    }
  }
}
"""


def changed(old: str, new: str, text: str = GOOD) -> str:
    """Return ``text`` with the first ``old`` replaced, which must be there."""
    assert old in text, old
    return text.replace(old, new, 1)


def with_options(options: str, version: str = VERSION, **values: object) -> str:
    """Return a graph whose LLM options end with ``options``, which start a line of their own."""
    text = render_graph({**SET, **values}, version)
    return changed(MODELS_PATH, MODELS_PATH.rstrip() + f"\n{options}\n", text)


def errors(text: str, version: str = VERSION) -> list[str]:
    return [finding.code for finding in check_graph(text, version) if finding.severity == "error"]


def found(text: str, code: str, version: str = VERSION) -> Finding:
    """Return the one finding of this code."""
    (finding,) = [finding for finding in check_graph(text, version) if finding.code == code]
    return finding


def reported(text: str, version: str = VERSION) -> str:
    """Return the StatusCode that OVMS reports, OK if the graph loads."""
    first = first_error(check_graph(text, version))
    return first.code if first else "OK"
