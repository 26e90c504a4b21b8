"""What makes an exported model directory whole."""

from __future__ import annotations

from pathlib import Path

from ovms_edge.errors import EdgeError
from ovms_edge.export.architecture import Kind
from ovms_edge.export.record import ExportRecord, check_files, read_record
from ovms_edge.ovms.ir import VISION_LANGUAGE_MODELS, check_ir
from ovms_edge.ovms.json_file import read_object
from ovms_edge.release.content import EXPORT_RECORD, GRAPH_FILE

# What openvino.genai reads besides the IR (src/cpp/src/visual_language/vlm_config.cpp,
# processor_config.cpp, src/cpp/src/tokenizer), and what a fine-tune or another tool needs to go on.
_REQUIRED_JSON = ("config.json", "generation_config.json", "tokenizer_config.json")
_REQUIRED_JSON_OF_KIND: dict[Kind, tuple[str, ...]] = {
    "LM": _REQUIRED_JSON,
    "VLM": (*_REQUIRED_JSON, "preprocessor_config.json", "tokenizer.json"),
}
_FILES_OF_MODEL = (
    *("config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "*preprocessor_config.json", "processor_config.json", "chat_template.*"),
    *(GRAPH_FILE, EXPORT_RECORD, "README*", "LICENSE*"),
)
_COMPLETE = "export the model again from a source that is complete"
CHAT_TEMPLATES = ("chat_template.jinja", "chat_template.json")


def check_converted(directory: Path) -> Kind:
    """Return what kind of model is in ``directory``; raises EdgeError unless all of it is whole."""
    models = [pair.xml_path.stem for pair in check_ir(directory)]
    kind: Kind = "VLM" if VISION_LANGUAGE_MODELS[0] in models else "LM"
    for name in _REQUIRED_JSON_OF_KIND[kind]:
        read_object(directory / name, _COMPLETE)
    if kind == "VLM" and not has_chat_template(directory):
        raise EdgeError(
            f"{directory} holds no chat template: chat completions could not build a prompt",
            f"export from a source with {' or '.join(CHAT_TEMPLATES)}",
        )
    return kind


def has_chat_template(directory: Path) -> bool:
    """Return whether chat completions can build a prompt; a language model may do without: completions."""
    in_tokenizer = "chat_template" in read_object(directory / "tokenizer_config.json", _COMPLETE)
    return in_tokenizer or any((directory / name).is_file() for name in CHAT_TEMPLATES)


def read_export(directory: Path) -> ExportRecord:
    """Return the record of a finished export in ``directory``.

    Raises EdgeError unless that is whole: the structure first, then every byte against its digest.
    """
    check_converted(directory)
    if not (directory / GRAPH_FILE).is_file():
        raise EdgeError(f"{directory / GRAPH_FILE} is missing", "export the model again")
    record = read_record(directory)
    check_files(directory, record)
    draft = record.options.get("draft")
    if draft:
        check_converted(directory / draft["directory"])
    return record


def is_replaceable(target: Path) -> bool:
    """Return whether ``target`` is a model directory, whole or not, or empty: never a directory of models."""
    if not target.is_dir():
        return False
    return any(target.glob("openvino_*")) or all(_is_of_model(path) for path in target.iterdir())


def _is_of_model(path: Path) -> bool:
    """Return whether a model that was broken off holds ``path``; a repository's config.json is OVMS's."""
    known = path.is_file() and any(path.match(pattern) for pattern in _FILES_OF_MODEL)
    return known and not (path.name == "config.json" and b"_config_list" in path.read_bytes())
