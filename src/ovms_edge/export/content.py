"""What makes an exported model directory whole, and the record of how it came about."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ovms_edge.errors import EdgeError
from ovms_edge.ovms.ir import check_ir
from ovms_edge.release.content import EXPORT_RECORD, GRAPH_FILE

# What openvino.genai reads besides the IR (src/cpp/src/visual_language/vlm_config.cpp,
# processor_config.cpp, src/cpp/src/tokenizer), and what a fine-tune or another tool needs to go on.
REQUIRED_JSON = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
CHAT_TEMPLATES = ("chat_template.jinja", "chat_template.json")


@dataclass(frozen=True)
class ExportRecord:
    """``export.json``: the source, the tools (package: version) and the options of one export."""

    model: str
    revision: str | None
    weight_format: str
    tools: dict[str, str]
    options: dict[str, Any]

    def to_text(self) -> str:
        """Return the text of ``export.json``."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    def differences(self, earlier: ExportRecord) -> list[str]:
        """Return what was asked differently of ``earlier``; a newer tool alone is no reason to redo it."""
        mine, theirs = asdict(self), asdict(earlier)
        names = ["model", "weight_format"]
        if self.revision is not None:  # None: on the hub, unknown until downloaded
            names.append("revision")
        found = [f"{name} {theirs[name]}, now {mine[name]}" for name in names if mine[name] != theirs[name]]
        for name in sorted({*self.options, *earlier.options}):
            now, before = self.options.get(name), earlier.options.get(name)
            if now != before:
                found.append(f"{name} {json.dumps(before)}, now {json.dumps(now)}")
        return found


def check_converted(directory: Path) -> None:
    """Raise EdgeError unless the converter's output in ``directory`` is whole."""
    check_ir(directory)
    documents = {name: _read_json(directory / name) for name in REQUIRED_JSON}
    in_tokenizer = "chat_template" in documents["tokenizer_config.json"]
    if not in_tokenizer and not any((directory / name).is_file() for name in CHAT_TEMPLATES):
        raise EdgeError(
            f"{directory} holds no chat template: chat completions could not build a prompt",
            f"export from a source with {' or '.join(CHAT_TEMPLATES)}",
        )


def read_export(directory: Path) -> ExportRecord:
    """Return the record of a finished export in ``directory``; raises EdgeError unless that is whole."""
    check_converted(directory)
    if not (directory / GRAPH_FILE).is_file():
        raise EdgeError(f"{directory / GRAPH_FILE} is missing", "export the model again")
    record_file = directory / EXPORT_RECORD
    try:
        return ExportRecord(**_read_json(record_file))
    except TypeError as error:
        raise EdgeError(f"{record_file} is no record of an export: {error}", "export again") from error


def is_replaceable(target: Path) -> bool:
    """Return whether ``target`` is a model directory, whole or not, or empty: never a directory of models."""
    return target.is_dir() and (any(target.glob("openvino_*")) or not any(target.iterdir()))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise EdgeError(f"{path} is missing", "export the model again from a source that has it") from error
    except ValueError as error:
        raise EdgeError(f"{path} is damaged: {error}", "export the model again") from error
    if not isinstance(document, dict):
        raise EdgeError(f"{path} holds no JSON object", "export the model again")
    return document
