"""Whether an exported language model is whole: the OpenVINO IR pairs, checked without OpenVINO.

An IR is a pair of files: the ``.xml`` holds the graph and names, for every constant, the offset and
size (bytes) of its data in the ``.bin``. So the ``.xml`` alone says how large the ``.bin`` must be, and
an export that was cut off is found by reading a few megabytes, not the weights.
The format: openvino 2025.4.1, src/core/src/pass/serialize.cpp and src/frontends/ir.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat

from ovms_edge.errors import EdgeError

# The files that openvino.genai 2025.4.1 opens: src/cpp/src/continuous_batching/pipeline.cpp,
# src/cpp/src/visual_language/ (vision_encoder.cpp, inputs_embedder.cpp, and one directory a model type).
TOKENIZER_MODELS = ("openvino_tokenizer", "openvino_detokenizer")
LANGUAGE_MODELS = ("openvino_model", *TOKENIZER_MODELS)
VISION_LANGUAGE_MODELS = (
    "openvino_language_model",
    "openvino_text_embeddings_model",
    "openvino_vision_embeddings_model",
)
QWEN2_5_VL_MODELS = (
    *VISION_LANGUAGE_MODELS,
    "openvino_vision_embeddings_merger_model",
    *TOKENIZER_MODELS,
)
# What a type of vision-language model has besides, named as optimum-intel 1.27 writes it
# (optimum/intel/openvino/modeling_visual_language.py, additional_parts).
_FURTHER_PARTS = {
    "qwen2_vl": ("vision_embeddings_merger",),
    "qwen2_5_vl": ("vision_embeddings_merger",),
    "minicpmv": ("resampler",),
    "minicpmo": ("resampler",),
    "phi3_v": ("vision_projection",),
    "llava_next_video": ("vision_resampler", "multi_modal_projector"),
}

# Constants follow each other; only alignment of the last one may come after it.
MAX_PADDING_BYTES = 64

_REMEDY = "export the model again, or copy the directory again if it is a copy"
_XML_START = b"<?xml"
_XML_END = b"</net>"
_TAIL_BYTES = 64


@dataclass(frozen=True)
class Constant:
    """Where the data of one constant lies in the ``.bin``. ``offset`` and ``size`` in bytes."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class IrPair:
    """A whole IR. ``bin_bytes`` is the size of the ``.bin``: what the model's weights take."""

    xml_path: Path
    bin_path: Path
    bin_bytes: int


def check_ir(directory: Path) -> list[IrPair]:
    """Return the IR pairs of the language or vision-language model in ``directory``, all whole.

    Raises EdgeError, naming the file and the sizes expected and found, at the first that is not.
    """
    if not directory.is_dir():
        raise EdgeError(f"no model directory {directory}", "name the directory that the export wrote")
    return [check_pair(directory / f"{model}.xml") for model in required_models(directory)]


def required_models(directory: Path) -> tuple[str, ...]:
    """Return the names of the IR pairs that the model in ``directory`` cannot do without, and of those there.

    Any part of a vision-language model makes it one, so that a missing part is noticed: OVMS would take it
    for a language model (model_server v2025.4.1, src/llm/servable_initializer.cpp). A model whose
    config.json names no type is held to what a Qwen2.5-VL has.
    """
    present = sorted(path.stem for path in directory.glob("openvino_*.xml"))
    if "openvino_model" in present and not set(present) & set(VISION_LANGUAGE_MODELS):
        needed: tuple[str, ...] = LANGUAGE_MODELS
    else:
        needed = vision_language_models(_model_type(directory))
    return (*needed, *(model for model in present if model not in needed))


def vision_language_models(model_type: str | None) -> tuple[str, ...]:
    """Return the IR pairs of a vision-language model of ``model_type`` (``config.json`` of Hugging Face)."""
    if model_type is None:
        return QWEN2_5_VL_MODELS
    further = (f"openvino_{part}_model" for part in _FURTHER_PARTS.get(model_type, ()))
    return (*VISION_LANGUAGE_MODELS, *further, *TOKENIZER_MODELS)


def _model_type(directory: Path) -> str | None:
    try:
        config: Any = json.loads((directory / "config.json").read_bytes())
    except (OSError, ValueError):
        return None  # whoever needs config.json says what is wrong with it
    model_type = config.get("model_type") if isinstance(config, dict) else None
    return model_type if isinstance(model_type, str) else None


def check_pair(xml_path: Path) -> IrPair:
    """Return the pair of ``xml_path`` if both files are whole; raises EdgeError otherwise."""
    bin_path = xml_path.with_suffix(".bin")
    expected = max((constant.offset + constant.size for constant in read_constants(xml_path)), default=0)
    found = _size(bin_path)
    if found < expected:
        raise EdgeError(
            f"{bin_path} is truncated: {expected} bytes expected from {xml_path.name}, {found} found", _REMEDY
        )
    if found > expected + MAX_PADDING_BYTES:
        raise EdgeError(
            f"{bin_path} is not the one of {xml_path.name}: {expected} bytes expected, {found} found",
            _REMEDY,
        )
    return IrPair(xml_path, bin_path, found)


def read_constants(xml_path: Path) -> list[Constant]:
    """Return every constant of an IR in the order of the ``.xml``, those in sub-graphs included.

    Several may share an offset: the serializer writes equal data once. Memory grows with the number of
    constants only. Raises EdgeError if the file is missing, cut off or not an IR.
    """
    check_ends(xml_path)
    constants: list[Constant] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = _constant_collector(xml_path, constants)
    try:
        with xml_path.open("rb") as stream:
            parser.ParseFile(stream)
    except expat.ExpatError as error:
        raise EdgeError(f"{xml_path} is damaged: {error}", _REMEDY) from error
    return constants


def _constant_collector(
    xml_path: Path, constants: list[Constant]
) -> tuple[Callable[[str, dict[str, str]], None], Callable[[str], None]]:
    layers: list[tuple[str, str]] = []  # (name, type) of the layers that are open; sub-graphs nest them

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "layer":
            layers.append((attributes.get("name", ""), attributes.get("type", "")))
        elif tag == "data" and layers and layers[-1][1] == "Const":
            constants.append(_constant(xml_path, layers[-1][0], attributes))

    def end(tag: str) -> None:
        if tag == "layer":
            layers.pop()

    return start, end


def _constant(xml_path: Path, name: str, attributes: dict[str, str]) -> Constant:
    try:
        constant = Constant(name, int(attributes["offset"]), int(attributes["size"]))
    except (KeyError, ValueError) as error:
        raise EdgeError(f"{xml_path}: constant {name!r} has no readable offset and size", _REMEDY) from error
    if constant.offset < 0 or constant.size < 0:
        raise EdgeError(f"{xml_path}: constant {name!r} has a negative offset or size", _REMEDY)
    return constant


def check_ends(xml_path: Path) -> None:
    """Raise EdgeError if the ``.xml`` does not begin and end as an IR does. Reads some bytes only."""
    size = _size(xml_path)
    with xml_path.open("rb") as stream:
        head = stream.read(len(_XML_START))
        stream.seek(max(0, size - _TAIL_BYTES))
        tail = stream.read().rstrip()
    if head != _XML_START:
        raise EdgeError(
            f"{xml_path} is not an OpenVINO IR ({size} bytes): it does not start with <?xml", _REMEDY
        )
    if not tail.endswith(_XML_END):
        raise EdgeError(f"{xml_path} is truncated at {size} bytes: it does not end with </net>", _REMEDY)


def _size(path: Path) -> int:
    """Size in bytes of a regular file that can be read; raises EdgeError otherwise."""
    try:
        with path.open("rb"):
            return path.stat().st_size
    except FileNotFoundError as error:
        raise EdgeError(f"{path} is missing", _REMEDY) from error
    except OSError as error:
        raise EdgeError(f"{path} cannot be read: {error.strerror}", "mend its permissions or disk") from error
