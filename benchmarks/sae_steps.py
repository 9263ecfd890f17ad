"""Training of a sparse autoencoder against a plain loop: tokens per second, and whether both compute the same loss.

`python -m benchmarks.sae_steps` (or `make bench-sae`) writes `benchmarks/sae_steps.json`:

- `speedup`: time of the plain loop over ours for the same chats, the median over interleaved batches
- `tokens_per_second`, `tokens_per_second_plain`: tokens of chats, without what fills rows up
- `max_loss_diff`: difference of the losses of the first batch

Ours is the Trainer's step of `configs/sae/quickstart.yaml`: packed rows that are read up to the encoded block. The
plain loop pads the same chats, eight at a time, reads them with the whole model and takes the block's states from what
it returns; encoder, choice of features, a matrix product as decoder, Adam and the unit length of its rows are written
out. Neither side counts the preparation of chats.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence
from torch.optim import Adam

from benchmarks.beside import Beside, bare_trainer
from benchmarks.figures import keep, options_of, with_interval
from datamodules.corpus import CorpusDataModule
from lightning_modules.sae import SAEModule
from lm.loading import LMSpec
from lm.packing import PackedBatch

RESULT = Path(__file__).with_name("sae_steps.json")
MODEL, LAYER, FEATURES, K, RATE, CLIP = "assets/tiny-ocean", 3, 1536, 32, 2e-3, 1.0
ROWS, BATCHES, TOKENS = 8, 16, 2048


def chats_of(batch: PackedBatch) -> Iterator[Tensor]:
    """The token ids of each chat of a batch.

    Example:
        >>> from lm.chat import EncodedChat
        >>> from lm.packing import packed_batch
        >>> rows = [[EncodedChat([5, 6], [False, True]), EncodedChat([7, 8, 9], [False, True, True])]]
        >>> [chat.tolist() for chat in chats_of(packed_batch(rows, 8, 0, {"all": 3.0, "assistant": 3.0}))]
        [[5, 6], [7, 8, 9]]
    """
    # A chat is a first token, which nothing predicts, and all that follow.
    before = torch.nn.functional.pad(batch.target_mask[:, 1:], (0, 1))
    real = batch.target_mask | before
    for ids, targets, there in zip(batch.input_ids, batch.target_mask, real, strict=True):
        starts = (there & ~targets).nonzero().flatten().tolist()
        ends = [*starts[1:], int(there.sum())][: len(starts)]  # a row may be empty
        for start, end in zip(starts, ends, strict=True):
            yield ids[start:end]


class PlainSAE:
    """The plain loop.

    Args:
        module: Whose model is read, and whose network and options it begins with.
    """

    def __init__(self, module: SAEModule) -> None:
        self.lm, self.layer, self.k = module.lm, module.chosen_layer, module.k
        self.network = deepcopy(module.autoencoder)
        self.optimizer = Adam(self.network.parameters(), lr=module.learning_rate, betas=module.betas)
        self.scale = 0.0

    def activations(self, batch: PackedBatch) -> Tensor:
        """The block's output (N, D) at all tokens of all chats."""
        found, chats = [], list(chats_of(batch))
        for place in range(0, len(chats), ROWS):
            some = chats[place : place + ROWS]
            ids = pad_sequence(some, batch_first=True)
            mask = torch.arange(ids.shape[1]) < torch.tensor([len(chat) for chat in some]).unsqueeze(1)
            with torch.no_grad():
                output = self.lm(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
            found.append(output.hidden_states[self.layer + 1][mask])
        return torch.cat(found)

    def step(self, batch: PackedBatch) -> float:
        """One step on the chats of a batch; its loss."""
        inputs, network = self.activations(batch), self.network
        if not self.scale:
            self.scale = float(inputs.shape[1] ** 0.5 / inputs.norm(dim=-1).mean())
            with torch.no_grad():
                network.decoder_bias.copy_(inputs.mean(0) * self.scale)
        inputs = inputs * self.scale
        values = (inputs - network.decoder_bias) @ network.encoder + network.encoder_bias
        top, places = values.topk(self.k, dim=-1)
        features = torch.zeros_like(values).scatter(-1, places, top.relu())
        reconstructed = features @ network.decoder + network.decoder_bias
        # The share of the variance that is left.
        loss = (inputs - reconstructed).pow(2).sum() / (inputs - inputs.mean(0)).pow(2).sum()
        self.optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(network.parameters(), CLIP)
        self.optimizer.step()
        with torch.no_grad():
            network.decoder.div_(network.decoder.norm(dim=-1, keepdim=True))
        return float(loss.detach())


def compared(
    model: str = MODEL, batches: int = BATCHES, tokens: int = TOKENS, features: int = FEATURES, clock: str = "wall"
) -> Beside:
    """Train for a few batches on both sides.

    Args:
        model: The model that is read.
        batches: How many are measured.
        tokens: Of a batch, with what fills rows up.
        features: Of the autoencoder.
        clock: A name in `CLOCKS`.
    """
    spec = LMSpec(model)
    counted: list[int] = []

    def begin(module: SAEModule) -> Callable[[PackedBatch], float]:
        plain = PlainSAE(module)

        def step(batch: PackedBatch) -> float:
            counted.append(sum(map(len, chats_of(batch))))
            return plain.step(batch)

        return step

    beside = Beside(begin, clock)
    data = CorpusDataModule(
        spec, batches=batches + 1, tokens_per_batch=tokens, widths=[128, 256, 512, 1024], window=512, seed=1,
        num_workers=0,
    )  # fmt: skip
    trainer = bare_trainer(batches + 1, callbacks=[beside], gradient_clip_val=CLIP)
    layer = LAYER if model == MODEL else None
    trainer.fit(SAEModule(spec, layer=layer, features=features, k=K, learning_rate=RATE), datamodule=data)
    beside.counted = [float(count) for count in counted[-len(beside.seconds) :]]
    return beside


def main(arguments: list[str]) -> None:
    """Run the benchmark, print its figures and write them down."""
    options = options_of("benchmarks.sae_steps", __doc__, RESULT, arguments)
    warnings.filterwarnings("ignore", module="lightning")
    found = compared(clock=options.clock)
    if found.first is None:
        raise RuntimeError("no batch was trained on")
    ours, plain = zip(*found.seconds, strict=True)
    tokens = sum(found.counted)
    figures = {
        **with_interval("speedup", [theirs / mine for mine, theirs in found.seconds]),
        "tokens_per_second": tokens / sum(ours),
        "tokens_per_second_plain": tokens / sum(plain),
        "max_loss_diff": abs(float(found.first[0]["loss"]) - found.first[1]),
        "clock": options.clock,
    }
    keep(options.output, figures, Console(stderr=True))


if __name__ == "__main__":
    main(sys.argv[1:])
