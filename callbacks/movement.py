"""A report of how much every method of an evaluation moves the residual stream, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from callbacks.steering import SteeringCallback
from files.atomic import atomic_write_text, write_json
from interventions.asked_trait import together
from interventions.movement import LaidOut, residual_movement
from interventions.places import places_of
from lm.chat import Chat, encode_chats, pad_encoded
from lm.generation import generate
from personas.questions import Choice, Generation, Likelihood, Questions

JSON, TABLE = "movement.json", "movement.md"


class MovementReport(Callback):
    """Measures the methods of an evaluation on its first batch; stands beside them under `trainer.callbacks`.

    Writes `movement.json` and `movement.md` with the mean length of the change over the length of the residual stream,
    after every block, for each method and for each term of a sum, at the tokens where answers are made.

    Args:
        texts: Prompts that are measured on.
        max_new_tokens: Longest answer to those that have none of their own; the base model gives it.
    """

    def __init__(self, texts: int = 16, max_new_tokens: int = 30) -> None:
        self.texts = texts
        self.max_new_tokens = max_new_tokens

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Measure on the first batch."""
        if batch_idx or not trainer.is_global_zero:
            return
        module: Any = pl_module  # an evaluation, as the methods see it
        interventions = self._interventions(trainer, module, batch)
        chats, records = self._chats(module, batch.questions)
        if not interventions or not chats:
            return
        rows = pad_encoded(encode_chats(module.tokenizer, chats), module.tokenizer.pad_token_id).to(module.lm.device)
        keys = torch.tensor(records, device=module.lm.device)
        moved = residual_movement(module.lm, places_of(module.lm), rows, keys, interventions)
        figures = {name: [round(value, 6) for value in layers.tolist()] for name, layers in moved.items()}
        root = Path(trainer.default_root_dir)
        write_json(root / JSON, figures)
        atomic_write_text(root / TABLE, movement_table(figures))

    def _interventions(self, trainer: Trainer, module: Any, batch: Any) -> dict[str, LaidOut]:
        """What every method does, and what the terms of sums do."""
        found: dict[str, LaidOut] = {}
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # given to the Trainer from outside
            if isinstance(callback, SteeringCallback):
                terms = getattr(callback, "terms", None)
                found.update(terms(batch) if terms is not None else {})
                whole = callback.intervene(batch)
                if whole is not None:
                    found[callback.method] = whole
        if module.trained is not None and module.trained.model is module.lm:
            found.setdefault(module.trained.name, together(module.trained.intervene(batch)))
        return found

    def _chats(self, module: Any, questions: Questions) -> tuple[list[Chat], list[int]]:
        """Prompts with answers, and the record of each; as many of every record as of the others."""
        asked: list[tuple[Likelihood | Choice | Generation, str | None]] = [
            *((question, question.answer) for question in questions.likelihoods),
            *((question, question.options[0]) for question in questions.choices),
            *((question, None) for question in questions.generations),
        ]
        every = max(1, len(asked) // self.texts)
        chosen = [pair for pair in asked[::every][: self.texts] if pair[0].prompt[-1]["role"] != "assistant"]
        open_prompts = [question.prompt for question, answer in chosen if answer is None]
        answers = iter(
            generate(
                module.lm,
                module.tokenizer,
                open_prompts,
                max_new_tokens=self.max_new_tokens,
                seed=0,
                batch_size=self.texts,
            )
            if open_prompts
            else []
        )
        texts = [next(answers) if answer is None else answer for _, answer in chosen]
        pairs = [(question, text) for (question, _), text in zip(chosen, texts, strict=True) if text.strip()]
        chats = [[*question.prompt, {"role": "assistant", "content": text}] for question, text in pairs]
        return chats, [question.record for question, _ in pairs]


def movement_table(figures: Mapping[str, Sequence[float]]) -> str:
    """The figures as a Markdown table with a row per layer.

    Example:
        >>> print(movement_table({"pas": [0.0, 0.25]}))
        | layer | pas |
        |---|---:|
        | 0 | 0.000 |
        | 1 | 0.250 |
        <BLANKLINE>
    """
    layers = len(next(iter(figures.values())))
    lines = [f"| layer | {' | '.join(figures)} |", "|---|" + "---:|" * len(figures)]
    lines += [
        f"| {layer} | {' | '.join(f'{values[layer]:.3f}' for values in figures.values())} |" for layer in range(layers)
    ]
    return "\n".join(lines) + "\n"
