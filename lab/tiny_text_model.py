"""Write a tiny Qwen2 that reads and writes text only: ``tiny_text_model.py OUTPUT_DIR [--seed N]``.

As tiny_model.py, whose tokenizer it shares, so that two of these can be a model and its draft model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from tiny_model import HIDDEN, SPREAD, VOCABULARY, build_tokenizer, speak_words_only
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

# ChatML, as Qwen2 speaks it
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_model(output: Path, seed: int) -> None:
    """Write the files of a model directory, as ``huggingface-cli download`` would leave them."""
    tokenizer = build_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=SPREAD,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(config).eval()
    speak_words_only(model, tokenizer)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
    )
    model.to(torch.bfloat16).save_pretrained(output)
    tokenizer.save_pretrained(output)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a tiny Qwen2 with random weights.")
    parser.add_argument("output", type=Path, metavar="OUTPUT_DIR")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another model (default: 1)")
    arguments = parser.parse_args()
    write_model(arguments.output, arguments.seed)
    print(f"tiny Qwen2 (seed {arguments.seed}) written to {arguments.output}")


if __name__ == "__main__":
    main()
