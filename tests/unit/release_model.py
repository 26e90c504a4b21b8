"""A model directory as an export leaves it, of a few kilobytes."""

from __future__ import annotations

import json
from pathlib import Path

from ovms_edge.ovms.ir import QWEN2_5_VL_MODELS

BIN_BYTES = 256
XML = f"""<?xml version="1.0"?>
<net name="Model0" version="11">
	<layers>
		<layer id="0" name="weight" type="Const" version="opset1">
			<data element_type="u8" shape="{BIN_BYTES}" offset="0" size="{BIN_BYTES}" />
		</layer>
	</layers>
</net>
"""
CONFIG = {
    "model_type": "qwen2_5_vl",
    "text_config": {
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "hidden_size": 3584,
    },
}
KV_BYTES_PER_TOKEN = 56 * 1024  # Qwen2.5-VL-7B: 2 x 28 layers x 4 heads x 128 x 2 bytes
SOURCE = {
    "model": "Qwen/Qwen2.5-VL-7B-Instruct",
    "revision": "cc594898137f460bfe9f0759e9844b3ce807cfb5",
    "weight_format": "int8",
    "tools": {"optimum-intel": "1.27.0", "openvino": "2025.4.1"},
}
GRAPH = """input_stream: "HTTP_REQUEST_PAYLOAD:input"
output_stream: "HTTP_RESPONSE_PAYLOAD:output"
node: {
  name: "LLMExecutor"
  calculator: "HttpLLMCalculator"
  input_stream: "LOOPBACK:loopback"
  input_stream: "HTTP_REQUEST_PAYLOAD:input"
  input_side_packet: "LLM_NODE_RESOURCES:llm"
  output_stream: "LOOPBACK:loopback"
  output_stream: "HTTP_RESPONSE_PAYLOAD:output"
  input_stream_info: { tag_index: 'LOOPBACK:0' back_edge: true }
  node_options: {
    [type.googleapis.com / mediapipe.LLMCalculatorOptions]: {
      models_path: "./"
      device: "GPU"
      plugin_config: '{ "KV_CACHE_PRECISION": "u8" }'
      cache_size: 4
      max_num_seqs: 1
      enable_prefix_caching: true
      %s
    }
  }
  input_stream_handler {
    input_stream_handler: "SyncSetInputStreamHandler"
    options { [mediapipe.SyncSetInputStreamHandlerOptions.ext] { sync_set { tag_index: "LOOPBACK:0" } } }
  }
}
"""


def write_model(directory: Path, *, options: str = "", weight: bytes = b"w") -> Path:
    """Write the model and return its directory; ``options`` go into the graph as they stand."""
    directory.mkdir(parents=True)
    for model in QWEN2_5_VL_MODELS:
        (directory / f"{model}.xml").write_text(XML)
        data = (weight + model.encode()).ljust(BIN_BYTES, b"\0")
        (directory / f"{model}.bin").write_bytes(data)
    (directory / "config.json").write_text(json.dumps(CONFIG))
    (directory / "export.json").write_text(json.dumps(SOURCE))
    (directory / "graph.pbtxt").write_text(GRAPH % options)
    (directory / "README.md").write_text("# A model\n")
    (directory / "merges.txt").write_text("")  # empty files are ordinary
    return directory
