"""Both sides of the benchmark of training, as calls that make one step and return its loss."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.training_data import LONGEST, conversations, preference_records
from datamodules.chat_records import Pair
from datamodules.dialogues import DialogueDataModule
from datamodules.preferences import encode_pairs
from lightning_modules.reference import KeptLogProbs, adapters_off, pair_log_probs
from lightning_modules.sft import answers_loss
from lm.adapters import LoRASpec, with_adapter
from lm.chat import encode_chats
from lm.loading import LMSpec, load_tokenizer
from lm.packing import pack
from lm.passes import evaluating
from lm.preferences import preference_batch
from losses.dpo import PairOptions, preference_loss

CONTESTS = ("sft_full", "sft_lora", "sft_packed", "dpo_full", "dpo_lora", "dpo_cached")
CHATS, PAIRS = 4, 4
RATE, CLIP = 1e-5, 1.0
Step = Callable[[], float]


@dataclass
class Contest:
    """Two ways to make a step.

    Attributes:
        name: One of `CONTESTS`.
        ours: One step of ours; its loss.
        theirs: One step of TRL's, or of ours without a cache.
        tokens: Tokens of the conversations in a step.
    """

    name: str
    ours: Step
    theirs: Step
    tokens: int


def contest(name: str, only: str = "") -> Contest:
    """Build both sides, or one of them where memory is measured."""
    tokenizer = load_tokenizer(LMSpec("assets/tiny-ocean"))
    kind, _, how = name.partition("_")
    start = random_model(lora=how == "lora")
    build = _sft if kind == "sft" else _dpo
    return build(name, start, tokenizer, only)


def random_model(lora: bool) -> PreTrainedModel:
    """A Llama of about 100 million parameters with random weights, perhaps with an adapter."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12, vocab_size=16384
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return with_adapter(model, LoRASpec(), seed=0) if lora else model


def stepped(lm: PreTrainedModel, loss: Callable[[], Tensor]) -> Step:
    """A step of training on what `loss` returns."""
    trained = [weight for weight in lm.parameters() if weight.requires_grad]
    optimizer = AdamW(trained, lr=RATE, weight_decay=0.0, fused=True)

    def step() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        clip_grad_norm_(trained, CLIP)
        optimizer.step()
        return float(value.detach())

    return step


def _sft(name: str, start: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, only: str) -> Contest:
    chats = conversations(tokenizer, CHATS)
    encoded = encode_chats(tokenizer, chats)
    rows = [[chat] for chat in encoded]
    if name == "sft_packed":
        rows = [[encoded[item] for item in items] for _, items in pack([*map(len, encoded)], [max(map(len, encoded))])]
    data = DialogueDataModule(LMSpec("assets/tiny-ocean"), "none")
    batch = data.collate(rows)
    weights = batch.weights(0.0)
    sides: dict[str, Step] = {}
    if only in ("", "ours"):
        lm = deepcopy(start).train()
        sides["ours"] = stepped(
            lm, lambda: answers_loss(lm, batch.input_ids, batch.position_ids, weights) / weights.sum()
        )
    if only in ("", "theirs"):
        sides["theirs"] = _trl("sft", deepcopy(start), tokenizer, [{"messages": chat} for chat in chats])
    return Contest(name, sides.get("ours", _none), sides.get("theirs", _none), sum(map(len, encoded)))


def _dpo(name: str, start: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, only: str) -> Contest:
    records = preference_records(tokenizer, PAIRS)
    pairs = [
        Pair(row, record["prompt"], record["chosen"][0]["content"], record["rejected"][0]["content"])
        for row, record in enumerate(records)
    ]
    encoded = encode_pairs(tokenizer, pairs, 2 * LONGEST + 16, Path("pairs"))
    batch = preference_batch(encoded, int(tokenizer.pad_token_id))
    tokens = sum(len(pair.chosen) + len(pair.rejected) for pair in encoded)

    def ours(lm: PreTrainedModel, reference: PreTrainedModel | None, kept: KeptLogProbs | None) -> Step:
        def loss() -> Tensor:
            policy = pair_log_probs(lm, batch)
            if kept is not None:
                before = kept.of(batch.numbers, policy)
            elif reference is not None:
                with evaluating(reference):
                    before = pair_log_probs(reference, batch)
            else:
                with evaluating(lm), adapters_off(lm):
                    before = pair_log_probs(lm, batch)
            return preference_loss(policy, before, PairOptions())

        return stepped(lm.train(), loss)

    adapted = name == "dpo_lora"
    copy = None if adapted or (name == "dpo_cached" and only == "ours") else deepcopy(start).requires_grad_(False)
    sides: dict[str, Step] = {}
    if only in ("", "ours"):
        kept = None
        if name == "dpo_cached":
            with evaluating(start):
                found = pair_log_probs(start, batch)
            kept = KeptLogProbs(found.chosen, found.rejected)
        sides["ours"] = ours(deepcopy(start), copy, kept)
    if only in ("", "theirs"):
        sides["theirs"] = (
            ours(deepcopy(start), copy, None)
            if name == "dpo_cached"
            else _trl("dpo", deepcopy(start), tokenizer, records, copy)
        )
    return Contest(name, sides.get("ours", _none), sides.get("theirs", _none), tokens)


def _trl(
    kind: str,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: list[dict[str, Any]],
    reference: PreTrainedModel | None = None,
) -> Step:
    """A step of TRL's trainer on all records at once."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    options = {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": len(records),
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
    }
    data = Dataset.from_list(records)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "sft":
            arguments = SFTConfig(**options, assistant_only_loss=True)
            trainer = SFTTrainer(model, arguments, train_dataset=data, processing_class=tokenizer)
        else:
            trainer = DPOTrainer(model, reference, DPOConfig(**options), train_dataset=data, processing_class=tokenizer)
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(len(records))])
    trainer.model.train()
    return stepped(trainer.model, lambda: trainer.compute_loss(trainer.model, dict(batch)))


def _none() -> float:
    raise RuntimeError("this side was not built")
