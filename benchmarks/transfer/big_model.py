"""Write a Qwen2.5-VL of a wanted size with random weights: ``big_model.py OUTPUT_DIR LAYERS``.

A program of its own, so that its memory is free again before anything is measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessor

from lab import tiny_model

HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, VOCABULARY = 1536, 4480, 12, 2, 8192
_HEAD = HIDDEN // HEADS
# In INT8, one byte a weight.
LAYER_BYTES = 2 * HIDDEN * HIDDEN + 2 * HIDDEN * KV_HEADS * _HEAD + 3 * HIDDEN * INTERMEDIATE
OTHER_BYTES = 2 * HIDDEN * VOCABULARY


def main() -> None:
    """Write it as ``huggingface-cli download`` would leave it."""
    output, layers = Path(sys.argv[1]), int(sys.argv[2])
    tokenizer = tiny_model.build_tokenizer()
    config = tiny_model.build_config(tokenizer)
    for key, value in {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "rope_scaling": {**config.text_config.rope_scaling, "mrope_section": [16, 24, 24]},
        "layer_types": ["full_attention"] * layers,
        "initializer_range": 0.02,
    }.items():
        setattr(config.text_config, key, value)
    config.vision_config.out_hidden_size = HIDDEN
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    Qwen2_5_VLForConditionalGeneration(config).eval().save_pretrained(output)
    tokenizer.save_pretrained(output)
    Qwen2VLImageProcessor(min_pixels=tiny_model.MIN_PIXELS, max_pixels=tiny_model.MAX_PIXELS).save_pretrained(
        output
    )


if __name__ == "__main__":
    main()
