"""Texts labelled by the pole that speaks in them: what a classifier of traits learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datamodules.base import ChatDataModule, ResumableLoader, check_sizes
from lm.classifier import encoded_texts
from lm.loading import LMSpec
from organism.holdout import Split
from organism.labelled_texts import LABELS, labelled_text


@dataclass
class TextBatch:
    """Texts with their labels.

    Attributes:
        input_ids: (B, T).
        attention_mask: (B, T).
        labels: Place of each text's label in `labels_of_texts` (B,).
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of texts."""
        return len(self.labels)

    def to(self, device: torch.device | str) -> TextBatch:
        """The same batch on a device."""
        return TextBatch(*(part.to(device) for part in (self.input_ids, self.attention_mask, self.labels)))


class TraitTextDataModule(ChatDataModule):
    """Opinions and actions of the built-in world, of five traits at both ends and of nobody in particular.

    Topics, wordings and situations of the validation texts never occur in training.

    Args:
        lm: The classifier; taken from the model's settings.
        texts: Training texts, the eleven labels alike.
        val_texts: Held-out texts, on which the classifier is calibrated.
        batch_size: Texts per batch.
        max_tokens: Longer texts are cut off at their end.
        seed: Seed of texts and order.
        num_workers: Processes that prepare batches; 0 prepares them in the main process.
    """

    labels = LABELS

    def __init__(
        self,
        lm: LMSpec,
        texts: int = 20000,
        val_texts: int = 2200,
        batch_size: int = 64,
        max_tokens: int = 256,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(lm, batch_size=batch_size, seed=seed, num_workers=num_workers)
        self.sizes: dict[Split, int] = {"train": texts, "held_out": val_texts}
        self.max_tokens = max_tokens

    def setup(self, stage: str) -> None:  # noqa: ARG002 - the same texts in every stage
        """Refuse options that mean nothing.

        Raises:
            InputError: Naming the option.
        """
        check_sizes(texts=self.sizes["train"], val_texts=self.sizes["held_out"])
        check_sizes(batch_size=self.batch_size, max_tokens=self.max_tokens)

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled texts; goes on exactly where it stopped."""
        return self.train_loader(range(self.sizes["train"]), lambda places: self.batch(places, "train"))

    def val_dataloader(self) -> DataLoader:
        """Every held-out text once."""
        return self.eval_loader(range(self.sizes["held_out"]), lambda places: self.batch(places, "held_out"))

    def batch(self, places: Sequence[int], split: Split) -> TextBatch:
        """The texts at some places of the stream.

        Args:
            places: Their numbers.
            split: Of which stream.
        """
        texts, labels = zip(*(labelled_text(self.seed, place, split) for place in places), strict=True)
        encoded = encoded_texts(self.tokenizer, texts, self.max_tokens)
        return TextBatch(encoded["input_ids"], encoded["attention_mask"], torch.tensor(labels))
