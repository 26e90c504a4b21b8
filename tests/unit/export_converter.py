"""A program in place of optimum-cli: it writes a model's files as small as they can be."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from ovms_edge.export.optimum import Converter
from ovms_edge.ovms.ir import LANGUAGE_MODELS, QWEN2_5_VL_MODELS

TOOLS = {"optimum-intel": "1.27.0"}
VLM_CONFIG = {"model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"]}
LM_CONFIG = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}

_PROGRAM = f"""\
#!{sys.executable}
import json, os, pathlib, sys, tempfile, time
arguments = sys.argv[1:]
output = pathlib.Path(arguments[-1])
source = pathlib.Path(arguments[arguments.index("--model") + 1])
pause = float(os.environ.get("PAUSE", "0"))
output.mkdir()
print("converting", *arguments, flush=True)
xml = '<?xml version="1.0"?><net><layers><layer name="w" type="Const"><data offset="0" size="64"/>'
vision = "image-text-to-text" in arguments
for model in {QWEN2_5_VL_MODELS!r} if vision else {LANGUAGE_MODELS!r}:
    time.sleep(pause)
    (output / (model + ".bin")).write_bytes(bytes(64))
    (output / (model + ".xml")).write_text(xml + "</layer></layers></net>")
for name in ("generation_config", "preprocessor_config", "tokenizer", "tokenizer_config"):
    (output / (name + ".json")).write_text("{{}}")
(output / "config.json").write_text((source / "config.json").read_text())
(output / "chat_template.jinja").write_text("template")
noted = {{name: os.environ.get(name) for name in ("CI", "TMPDIR", "HF_HUB_OFFLINE")}}
noted["stdin"] = os.readlink("/proc/self/fd/0")
(output / "said.json").write_text(json.dumps({{"arguments": arguments[:-1], **noted}}))
exec(os.environ.get("THEN", ""))
"""

DRIVER = """\
import sys
from pathlib import Path
from ovms_edge.export.arguments import parse_arguments
from ovms_edge.export.command import export_model
from ovms_edge.export.optimum import Converter
from ovms_edge.export.progress import Progress
export_model(parse_arguments(sys.argv[2:]), Progress(), lambda: Converter(Path(sys.argv[1]), {}))
"""


def write_converter(path: Path) -> Converter:
    path.write_text(_PROGRAM)
    path.chmod(0o755)
    return Converter(path, TOOLS)


def write_source(directory: Path, config: dict[str, object]) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def write_ir(directory: Path, config: dict[str, object]) -> Path:
    """A language model as another exporter leaves it: int4, and with a graph of its own."""
    write_source(directory, config)
    xml = '<?xml version="1.0"?><net><layers><layer name="w" type="Const"><data offset="0" size="64"/>'
    for model in LANGUAGE_MODELS:
        (directory / f"{model}.bin").write_bytes(bytes(64))
        (directory / f"{model}.xml").write_text(f"{xml}</layer></layers></net>")
    for name in ("generation_config", "tokenizer", "tokenizer_config"):
        (directory / f"{name}.json").write_text("{}")
    (directory / "openvino_config.json").write_text('{"dtype": "int4"}')
    (directory / "chat_template.jinja").write_text("template")
    (directory / "graph.pbtxt").write_text('models_path: "/home/somebody/model"')
    return directory


def driver_environment(pause_seconds: float) -> dict[str, str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PAUSE": str(pause_seconds), "PYTHONPATH": path}
