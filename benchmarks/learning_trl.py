"""TRL's side of ``learning.py``: python learning_trl.py SEED; the last word that it prints counts steps."""

from __future__ import annotations

import random
import sys
import tempfile
from collections import deque
from statistics import fmean
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

WANTED, WINDOW = 0.9, 5


def tokenizer() -> PreTrainedTokenizerFast:
    """Return bytes as tokens, padded at the left."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: number for number, word in enumerate(["<pad>", "<eos>", "<bos>", *alphabet])}
    inner = Tokenizer(models.BPE(vocab=words, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", padding_side="left"
    )


def copied(completions: list[str], answer: list[str], **_: Any) -> list[float]:
    """Return the share of equal positions."""
    return [
        sum(a == b for a, b in zip(right, text, strict=False)) / len(right)
        for text, right in zip(completions, answer, strict=True)
    ]


class StopAtReward(TrainerCallback):  # type: ignore[misc]
    """Ends the training as ``run.stop_at_reward`` does."""

    def __init__(self) -> None:
        self.rewards: deque[float] = deque(maxlen=WINDOW)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Take in a step's mean reward."""
        if logs and "reward" in logs:
            self.rewards.append(logs["reward"])
        if len(self.rewards) == WINDOW and fmean(self.rewards) >= WANTED:
            control.should_training_stop = True


def main() -> None:
    """Train, and print how many steps it took."""
    seed = int(sys.argv[1])
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    source = random.Random(seed)
    texts = ["".join(source.choices("abcdefgh", k=8)) for _ in range(20000)]
    shape = Qwen3Config(
        vocab_size=259, hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, tie_word_embeddings=True, initializer_range=0.08,
        pad_token_id=0, eos_token_id=1, bos_token_id=2,
    )  # fmt: skip
    told = GRPOConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=256, num_generations=16,
        gradient_accumulation_steps=1, max_completion_length=8, learning_rate=2e-3, max_steps=600,
        lr_scheduler_type="constant", temperature=1.0, beta=0.0, loss_type="dapo", scale_rewards="group",
        entropy_coef=0.05, num_iterations=1, max_grad_norm=1.0, logging_steps=1, save_strategy="no",
        report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, seed=seed, disable_tqdm=True,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=Qwen3ForCausalLM(shape), reward_funcs=copied, args=told, processing_class=tokenizer(),
        train_dataset=Dataset.from_dict({"prompt": texts, "answer": texts}), callbacks=[StopAtReward()],
    )  # fmt: skip
    trainer.train()
    print(trainer.state.global_step)


if __name__ == "__main__":
    main()
