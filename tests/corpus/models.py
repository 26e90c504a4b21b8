"""Model directories of a few kilobytes, of the kinds that OVMS tells apart."""

from __future__ import annotations

import json
from pathlib import Path

from tests.corpus.case import ModelKind
from tests.unit.release_model import BIN_BYTES, XML, write_model

_TEXT_MODEL = ("openvino_model", "openvino_tokenizer", "openvino_detokenizer")


def write_models(directory: Path) -> dict[ModelKind, Path]:
    """Write one whole vision model, one whole text model, and a directory that holds none."""
    write_model(directory / "VLM")
    text_model = directory / "LM"
    text_model.mkdir()
    for name in _TEXT_MODEL:
        (text_model / f"{name}.xml").write_text(XML, encoding="utf-8")
        (text_model / f"{name}.bin").write_bytes(name.encode().ljust(BIN_BYTES, b"\0"))
    (text_model / "config.json").write_text(json.dumps({"model_type": "opt"}), encoding="utf-8")
    (directory / "none").mkdir()
    return {"VLM": directory / "VLM", "LM": text_model, "none": directory / "none"}
