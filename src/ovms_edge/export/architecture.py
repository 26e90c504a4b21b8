"""What kind of model a Hugging Face ``config.json`` describes, and how optimum-intel is to export it."""

from __future__ import annotations

from typing import Any, Literal

from ovms_edge.errors import EdgeError

Kind = Literal["LM", "VLM"]

# https://huggingface.co/docs/optimum-intel/openvino/export: --task
TASKS: dict[Kind, str] = {"LM": "text-generation-with-past", "VLM": "image-text-to-text"}

# Vision-language models whose configuration has no vision_config (or none of that name). Source:
# optimum-intel 1.27.0, optimum/exporters/openvino/utils.py, MULTI_MODAL_TEXT_GENERATION_MODELS.
_VISION_TYPES = frozenset(
    (
        *("llava", "llava_next", "llava_next_video", "llava-qwen2", "internvl_chat", "maira2", "minicpmv"),
        *("minicpmo", "phi3_v", "phi4mm", "phi4_multimodal", "qwen2_vl", "qwen2_5_vl", "got_ocr2", "gemma3"),
        *("idefics3", "smolvlm", "llama4"),
    )
)
_LANGUAGE_ARCHITECTURES = ("ForCausalLM", "LMHeadModel")


def model_kind(config: dict[str, Any], source: str) -> Kind:
    """Return whether ``config`` is a vision-language model's or a language model's.

    Raises EdgeError if it is neither: OVMS could not serve it as text generation.
    """
    model_type, architectures = config.get("model_type"), config.get("architectures")
    names = (
        [name for name in architectures if isinstance(name, str)] if isinstance(architectures, list) else []
    )
    # gemma3_text and others are the language part alone, of a family that has both
    if model_type in _VISION_TYPES or isinstance(config.get("vision_config"), dict):
        return "VLM"
    if any(name.endswith(_LANGUAGE_ARCHITECTURES) for name in names):
        return "LM"
    raise EdgeError(
        f"{source} is no language model: its config.json says model_type {model_type!r}, "
        f"architectures {', '.join(names) or 'none'}",
        "name a model that generates text (its architecture ends in ForCausalLM), or a vision-language model",
    )
