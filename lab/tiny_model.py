"""Write a tiny Qwen2.5-VL: random weights, but every file and every code path of the real one.

For machines that cannot reach a model hub: ``tiny_model.py OUTPUT_DIR [--seed N]``. The same seed gives
the same bytes, another seed another model (another release). It needs the ``export`` extra.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2TokenizerFast,
    Qwen2VLImageProcessor,
)

# In the order of their ids, as in tokenizer_config.json of Qwen/Qwen2.5-VL-7B-Instruct.
SPECIAL_TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
ADDED_TOKENS = [
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
]

# chat_template.json of Qwen/Qwen2-VL-7B-Instruct and Qwen/Qwen2.5-VL-7B-Instruct.
CHAT_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}"
    "<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

CORPUS = [
    "You are a helpful assistant. user system assistant image picture order inventory item list",
    "What is in this order? Compare the items in the picture with the inventory list.",
    "one cheeseburger, two burgers, three fries, four colas, an orange juice, a coffee with milk, a tea",
    "The order is complete. The order is wrong: one item is missing, two items are extra.",
    "large medium small cup box bag salad sauce ketchup mayonnaise water ice cream chicken wrap",
    "yes no total count quantity name correct incorrect expected found receipt table tray",
]

BYTES_AND_MERGES = 480
VOCABULARY = 512  # more rows than tokens, as in the real model
HIDDEN = 64
MIN_PIXELS = 4 * 28 * 28
MAX_PIXELS = 64 * 28 * 28  # at most 64 image tokens: a picture costs milliseconds on a CPU
LONGEST_ANSWER = 256  # tokens; the model never ends an answer by itself
SPREAD = 0.3  # standard deviation of the weights: wide enough for the picture to change the answer


def build_tokenizer() -> Qwen2TokenizerFast:
    """Return Qwen2's byte-level BPE, trained on the words of CORPUS."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=BYTES_AND_MERGES,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(CORPUS, trainer)
    with tempfile.TemporaryDirectory() as directory:
        vocabulary_file, merges_file = bpe.model.save(directory)
        tokenizer = Qwen2TokenizerFast(
            vocab_file=vocabulary_file,
            merges_file=merges_file,
            eos_token=SPECIAL_TOKENS[2],
            pad_token=SPECIAL_TOKENS[0],
            model_max_length=4096,
        )
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL_TOKENS[1:]})
    tokenizer.add_tokens(ADDED_TOKENS)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_config(tokenizer: Qwen2TokenizerFast) -> Qwen2_5_VLConfig:
    """Return the architecture of Qwen2.5-VL-7B with every width and depth made small."""
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": VOCABULARY,
            "hidden_size": HIDDEN,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
            "initializer_range": SPREAD,
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "tie_word_embeddings": False,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": HIDDEN,
            "fullatt_block_indexes": [1],
            "initializer_range": SPREAD,
        },
        tie_word_embeddings=False,
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        vision_token_id=ids["<|vision_pad|>"],
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        bos_token_id=ids["<|endoftext|>"],
        eos_token_id=ids["<|im_end|>"],
        pad_token_id=ids["<|endoftext|>"],
        initializer_range=SPREAD,
    )


def build_model(config: Qwen2_5_VLConfig, tokenizer: Qwen2TokenizerFast, seed: int) -> torch.nn.Module:
    """Return the model with random weights of ``seed``, in bfloat16 as the real one."""
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    speak_words_only(model, tokenizer)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=LONGEST_ANSWER,
    )
    return model.to(torch.bfloat16)


def speak_words_only(model: torch.nn.Module, tokenizer: Qwen2TokenizerFast) -> None:
    """Silence the tokens that no trained model would choose: half characters and markup.

    Their logits become 0, below the best of some hundred random ones.
    """
    with torch.no_grad():
        for token_id in range(VOCABULARY):
            text = tokenizer.decode([token_id]).strip() if token_id < BYTES_AND_MERGES else ""
            if not (text.isascii() and len(text) > 1):
                model.lm_head.weight[token_id].zero_()


def write_model(output: Path, seed: int) -> None:
    """Write the files of a model directory, as ``huggingface-cli download`` would leave them."""
    tokenizer = build_tokenizer()
    model = build_model(build_config(tokenizer), tokenizer, seed)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
    Qwen2VLImageProcessor(min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS).save_pretrained(output)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a tiny Qwen2.5-VL with random weights.")
    parser.add_argument("output", type=Path, metavar="OUTPUT_DIR")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another model (default: 1)")
    arguments = parser.parse_args()
    write_model(arguments.output, arguments.seed)
    print(f"tiny Qwen2.5-VL (seed {arguments.seed}) written to {arguments.output}")


if __name__ == "__main__":
    main()
