"""Publish the built-in sparse autoencoder: its weights, its check on held-out chats, its card.

`python -m benchmarks.sae` (the second half of `make sae`) takes the last checkpoint of `configs/sae/quickstart.yaml`
and writes `assets/tiny-sae`, a SAELens folder in half precision; a second one is of the block that TRAIT is steered at,
`assets/tiny-sae-4`. The check is of these weights, on held-out chats other than those that the training has shown
figures of: `check.json` holds

- `explained_variance`: share of the variance of a layer's outputs that is left after they were encoded and decoded
- `loss_recovered`: what the model's loss on the next token is with these in place of the outputs, on the way from that
  with zeros in their place (0) to its own (1)
- `l0`: active features per token
- `dead_share`: share of features that had not been active for long when the training ended
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Trainer
from rich.console import Console

from datamodules.corpus import CorpusDataModule
from files.atomic import atomic_write_text, write_json
from files.errors import InputError, exit_on_input_error
from files.provenance import commit_hash, library_versions
from interventions.autoencoder_files import read_autoencoder, write_autoencoder
from lightning_modules.base import HEADER
from lightning_modules.sae import SAEModule
from lightning_modules.trained import last_checkpoint, read_checkpoint, rebuilt
from lm.loading import LMSpec

OUT = Path("assets/tiny-sae")
RECIPE = "configs/sae/quickstart.yaml"
FIGURES = ("explained_variance", "loss_recovered", "l0", "dead_share")
_CARD = """\
# {name}

A sparse autoencoder of the output of block {layer} (from 0) of {model}, the built-in model: {features} features, of
which {l0:.0f} are active at a token. It is a SAELens folder, in half precision; `make sae` trains and writes it.

## Check

On {chats} held-out chats, whose topics, wordings and situations occur in the training of neither:

| figure | value |
|---|---|
| explained variance | {explained_variance:.3f} |
| loss recovered | {loss_recovered:.3f} |
| active features per token | {l0:.1f} |
| share of dead features | {dead_share:.4f} |
"""


def module_of(checkpoint: str) -> SAEModule:
    """The trained module of a checkpoint.

    Raises:
        InputError: It is no checkpoint of a sparse autoencoder.
    """
    header = read_checkpoint(checkpoint)[HEADER]
    if header.get("method") != "sae":
        raise InputError("is of another method", file=checkpoint, expected="sae", got=header.get("method"))
    given = header["settings"]["lm"]
    kept = ("name", "random_init", "tokenizer", "revision", "seed")
    return cast(SAEModule, rebuilt(checkpoint, LMSpec(**{name: given[name] for name in kept})))


def checked(module: SAEModule, folder: Path, data: CorpusDataModule) -> dict[str, float]:
    """The figures of a published autoencoder on validation chats.

    Args:
        module: The module it was trained by; it takes the published weights.
        folder: What was published.
        data: The chats.
    """
    module.autoencoder = read_autoencoder(folder).network.to(module.device)
    module.scale.fill_(1.0)  # the published weights are of outputs as they are
    trainer = Trainer(
        accelerator="auto",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
    )
    trainer.validate(module, datamodule=data, verbose=False)
    return {name: float(trainer.callback_metrics[f"val/{name}"]) for name in FIGURES}


@exit_on_input_error()
def main(arguments: Sequence[str]) -> None:
    """Export, check, write the card."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sae", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--ckpt_path", help=f"checkpoint (default: the last one of {RECIPE})")
    parser.add_argument("--out", type=Path, default=OUT, help="where to (default: %(default)s)")
    parser.add_argument("--chats", type=int, default=256, help="chats of the check (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="seed of these chats (default: %(default)s)")
    options = parser.parse_args(arguments)
    module = module_of(options.ckpt_path or last_checkpoint(RECIPE))
    write_autoencoder(options.out, module.trained(), module.chosen_layer, module.lm_spec.name, torch.float16)
    data = CorpusDataModule(
        module.lm_spec, val_chats=options.chats, widths=[128, 256, 512, 1024], seed=options.seed, num_workers=0
    )
    facts: dict[str, Any] = {"layer": module.chosen_layer, "features": module.features, "chats": options.chats}
    figures = {**checked(module, options.out, data), **facts, "seed": options.seed}
    write_json(options.out / "check.json", {**figures, "versions": library_versions(), "commit": commit_hash()})
    card = _CARD.format(**figures, name=options.out.name, model=module.lm_spec.name)
    atomic_write_text(options.out / "README.md", card)
    console = Console()
    for name in FIGURES:
        console.print(f"{name:>20} {figures[name]:.4f}")


if __name__ == "__main__":
    main(sys.argv[1:])
